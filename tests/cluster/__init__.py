"""Tests of the launcher over real HTTP: against KUBECONFIG's cluster, or the small API double kept here."""
