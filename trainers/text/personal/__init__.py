"""Kinds of personal data in Korean text, one file per family; `trainers/text/personal_data.py` puts them together."""
