"""What is taken for personal data, and what is not."""

import pytest

from runner.masking import is_personal, mask_emails


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ann@example.com", "***"),
        ("Ann Lee <ann.lee+crm@mail.example.co.uk>, bob@x", "Ann Lee <***>, ***"),
        ('{"to":["ann@example.com","ö@bücher.example"]}', '{"to":["***","***"]}'),
        ("mailto:ann@example.com; 3 @ 5 EUR", "mailto:***; 3 @ 5 EUR"),
        ("Sales Call 1", "Sales Call 1"),
        ("a@b.example@c.example", "***@c.example"),
        # A million letters take no time, neither before an address nor without one.
        pytest.param("a" * 10**6 + " a@b.example", "a" * 10**6 + " ***", id="long"),
        pytest.param("a" * 10**6 + "@b.example", "***", id="long address"),
    ],
)
def test_addresses_are_masked_wherever_they_stand(text: str, masked: str) -> None:
    assert mask_emails(text) == masked


def test_columns_of_people_are_known_by_name() -> None:
    people = [
        "email",
        "Email",
        "e_mail",
        "owner_email",
        "name",
        "user_name",
        "username",
        "last_name",
    ]
    assert [name for name in people if not is_personal(name)] == []
    others = ["kpi_name", "stage_name", "source_name", "step_owner", "user_id", "names", "mailing"]
    assert [name for name in others if is_personal(name)] == []
