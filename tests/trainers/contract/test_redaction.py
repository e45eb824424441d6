"""No secret in a message: whatever address or variable it came from, every error of ours is told without it."""

import pytest

from trainers.contract import BadRequest, ServiceMissing, settings
from trainers.contract.redaction import redacted, without_secrets

CANARY = "canary/7f3a@x:1"
"""A password as people have them: with marks that end the user's part for a parser."""


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://dagster:hunter22@db:5432/dagster does not answer",
        "no route: 'http://a:hunter22@h/x?y=1' (refused)",
        "s3://key:hunter22@bucket and ftp://u:hunter22@h",
        'Post "https://hunter22@hooks.example/services"',
    ],
)
def test_the_user_of_an_address_in_a_text_is_taken_out(text: str) -> None:
    assert "hunter22" not in without_secrets(text)
    assert without_secrets("mail kim@example.com, see http://host/a@b") == "mail kim@example.com, see http://host/a@b"


URI_VARIABLES = [
    "MLFLOW_TRACKING_URI",
    "AWS_ENDPOINT_URL",
    "HTTPS_PROXY",
    *(f"KOREAN_LLM_{name}" for name in ("PROMETHEUS_URL", "PUSHGATEWAY", "LANDING_URLS", "DAGSTER_URL", "MLFLOW_URL")),
    *(f"KOREAN_LLM_{name}" for name in ("ALERT_WEBHOOK", "SLACK_WEBHOOK", "ALERT_URLS", "VIEWERS_URL", "CODE_URL")),
]


def test_no_address_of_ours_is_forgotten() -> None:
    kinds = ("URL", "URI", "GATEWAY", "WEBHOOK", "URLS")
    ours = {name for name in settings.TABLE if name.endswith(kinds)}
    assert ours <= set(URI_VARIABLES)


@pytest.mark.parametrize("name", URI_VARIABLES)
@pytest.mark.parametrize("form", ["{uri}", "at {uri}: refused", "password {password} is wrong", "for user:{password}"])
def test_what_an_address_of_the_environment_hides_is_in_no_error(
    monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    uri = f"postgresql://user:{CANARY}@host:5432/db"
    monkeypatch.setenv(name, uri)
    text = str(ServiceMissing(form.format(uri=uri, password=CANARY)))
    assert CANARY not in text and "canary" not in text


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "KOREAN_LLM_SLACK_TOKEN", "OPENAI_API_KEY", "DAGSTER_PG_PASSWORD"]
)
def test_nor_is_a_secret_that_is_a_whole_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, CANARY)
    assert "canary" not in str(BadRequest(f"the key {CANARY} is refused"))


def test_an_address_alone_keeps_what_says_where_it_is() -> None:
    assert redacted(f"s3://key:{CANARY}@bucket/drops?secret=1") == "s3://bucket/drops"
