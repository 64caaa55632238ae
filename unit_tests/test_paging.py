"""A list ends where Docebo says so, in whatever words, and never because a page was short."""

from typing import Any

import pytest

from unit_tests.builders import PageBuilder, Platform, page_with, read

USERS = "manage/v1/user"


def users(*numbers: int) -> list[dict[str, Any]]:
    return [{"user_id": str(number)} for number in numbers]


def full_page(first: int) -> list[dict[str, Any]]:
    """The 200 records of a full page."""
    return users(*range(first, first + 200))


class TestWhereAListEnds:
    def test_not_at_a_short_page_or_an_empty_one(self, docebo: Platform) -> None:
        docebo.serves_pages(
            USERS,
            page_with(*full_page(1)).page(1, of=5),
            page_with(*users(201)).page(2, of=5),
            page_with().page(3, of=5),
            page_with(*users(202, 203)).page(4, of=5),
            page_with(*users(204)).page(5, of=5),
        )

        output = read("users")

        assert output.records("users") == users(*range(1, 205))
        assert output.is_complete("users")
        assert len(docebo.requests_for(USERS)) == 5

    def test_at_total_page_count_though_there_is_always_more(self, docebo: Platform) -> None:
        docebo.serves_pages(
            USERS,
            page_with(*users(1)).with_paging(has_more_data=True, total_page_count=2),
            page_with(*users(2)).with_paging(has_more_data=True, total_page_count=2),
            page_with(*users(2)).with_paging(has_more_data=True, total_page_count=2),
        )

        output = read("users")

        assert output.records("users") == users(1, 2)
        assert output.is_complete("users")
        assert len(docebo.requests_for(USERS)) == 2

    @pytest.mark.parametrize("nothing_more", [False, "false", 0, "0"])
    def test_where_there_is_no_more_though_pages_are_left(self, docebo: Platform, nothing_more: Any) -> None:
        docebo.serves_pages(
            USERS,
            page_with(*users(1)).with_paging(has_more_data=True, total_page_count=3),
            page_with(*users(2)).with_paging(has_more_data=nothing_more, total_page_count=3),
            page_with(*users(3)).with_paging(has_more_data=nothing_more, total_page_count=3),
        )

        output = read("users")

        assert output.records("users") == users(1, 2)
        assert output.is_complete("users")

    @pytest.mark.parametrize("more", [True, "true", 1, "1"])
    def test_where_only_has_more_data_is_given(self, docebo: Platform, more: Any) -> None:
        docebo.serves_pages(
            USERS,
            page_with(*users(1)).with_paging(has_more_data=more, total_page_count=None),
            page_with().with_paging(has_more_data=more, total_page_count=None),
            page_with(*users(2)).with_paging(has_more_data=False, total_page_count=None),
        )

        output = read("users")

        assert output.records("users") == users(1, 2)
        assert output.is_complete("users")

    def test_where_only_total_page_count_is_given_as_text(self, docebo: Platform) -> None:
        docebo.serves_pages(
            USERS,
            *(
                page_with(*users(page)).with_paging(
                    current_page=str(page), current_page_size="200", has_more_data=None, total_page_count="3"
                )
                for page in (1, 2, 3)
            ),
        )

        output = read("users")

        assert output.records("users") == users(1, 2, 3)
        assert output.is_complete("users")

    def test_after_a_page_that_is_not_full_where_nothing_is_said(self, docebo: Platform) -> None:
        silent = {"current_page": None, "current_page_size": None, "has_more_data": None, "total_page_count": None}
        docebo.serves_pages(
            USERS,
            page_with(*full_page(1)).with_paging(**silent),
            page_with(*full_page(201)).with_paging(**silent),
            page_with(*users(401)).with_paging(**silent),
        )

        output = read("users")

        assert output.records("users") == users(*range(1, 402))
        assert output.is_complete("users")

    def test_by_the_number_of_records_where_nothing_else_is_said(self, docebo: Platform) -> None:
        silent = {"has_more_data": None, "total_page_count": None, "current_page_size": "2", "total_count": "5"}
        docebo.serves_pages(
            USERS,
            page_with(*users(1, 2)).with_paging(**silent),
            page_with(*users(3)).with_paging(**silent),
            page_with(*users(4)).with_paging(**silent),
            page_with(*users(4)).with_paging(**silent),
        )

        output = read("users")

        assert output.records("users") == users(1, 2, 3, 4)
        assert output.is_complete("users")

    def test_an_empty_page_is_no_end_where_the_number_of_records_says_that_more_follow(self, docebo: Platform) -> None:
        silent = {"has_more_data": None, "total_page_count": None, "current_page_size": 2, "total_count": 5}
        docebo.serves_pages(
            USERS,
            page_with(*users(1, 2)).with_paging(**silent),
            page_with().with_paging(**silent),
            page_with(*users(3)).with_paging(**silent),
        )

        output = read("users")

        assert output.records("users") == users(1, 2, 3)
        assert output.is_complete("users")

    def test_a_smaller_page_size_of_the_tenant_is_a_full_page(self, docebo: Platform) -> None:
        silent = {"has_more_data": None, "total_page_count": None, "current_page_size": 2}
        docebo.serves_pages(
            USERS,
            page_with(*users(1, 2)).with_paging(**silent),
            page_with(*users(3, 4)).with_paging(**silent),
            page_with(*users(5)).with_paging(**silent),
        )

        assert read("users").records("users") == users(1, 2, 3, 4, 5)

    def test_a_list_of_many_pages_stays_in_order(self, docebo: Platform) -> None:
        docebo.serves_pages(USERS, *(page_with(*users(page)).page(page, of=30) for page in range(1, 31)))

        output = read("users")

        assert output.records("users") == users(*range(1, 31))
        assert len(docebo.requests_for(USERS)) == 30


class TestBareList:
    """`data` may be the list itself; then a page that is not full is the last."""

    def test_a_bare_list_is_read_whole(self, docebo: Platform) -> None:
        docebo.serves_pages(
            "manage/v1/user_fields",
            PageBuilder().with_records(*({"id": str(number)} for number in range(200))).as_bare_list(),
            PageBuilder().with_records({"id": "200"}).as_bare_list(),
        )

        output = read("user_fields")

        assert output.records("user_fields") == [{"id": str(number)} for number in range(201)]
        assert output.is_complete("user_fields")

    def test_an_empty_bare_list_is_the_end(self, docebo: Platform) -> None:
        docebo.serves_pages(
            "manage/v1/user_fields",
            PageBuilder().with_records(*({"id": str(number)} for number in range(200))).as_bare_list(),
            PageBuilder().as_bare_list(),
        )

        output = read("user_fields")

        assert len(output.records("user_fields")) == 200
        assert output.is_complete("user_fields")


class TestEndlessLists:
    """A list that cannot end fails its stream, as a transient error, instead of being read for ever."""

    def test_the_same_page_again_and_again(self, docebo: Platform) -> None:
        endless = page_with(*users(1, 2)).with_paging(has_more_data=True, total_page_count=None)
        docebo.serves_pages(USERS, *[endless] * 10)
        docebo.serves("learn/v1/certification", {"id_cert": 1})

        output = read("users", "certifications")

        assert output.is_incomplete("users")
        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert "users" in message
        assert "same page" in message
        assert output.records("certifications") == [{"id_cert": 1}]
        assert output.is_complete("certifications")
