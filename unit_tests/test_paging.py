"""Lists at the front door: read to their end in the order of their pages, or failed. The rules: test_responses.py."""

from typing import Any

from unit_tests.builders import PageBuilder, Platform, page_with, read

BRANCHES = "manage/v1/orgchart"
FIELDS = "manage/v1/user_fields"


def records(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in numbers]


class TestEnd:
    def test_a_list_of_many_pages_stays_in_order(self, docebo: Platform) -> None:
        docebo.serves_pages(BRANCHES, *(page_with(*records(page)).page(page, of=30) for page in range(1, 31)))

        output = read("branches")

        assert output.records("branches") == records(*range(1, 31))
        assert len(docebo.requests_for(BRANCHES)) == 30

    def test_where_signals_contradict_each_other_the_list_goes_on(self, docebo: Platform) -> None:
        docebo.serves_pages(
            BRANCHES,
            page_with(*records(1, 2)).with_paging(has_more_data=False, total_page_count=1, total_count=3),
            page_with(*records(3)).with_paging(current_page=2, has_more_data=False, total_page_count=1, total_count=3),
        )

        output = read("branches")

        assert output.records("branches") == records(1, 2, 3)
        assert output.is_complete("branches")

    def test_at_the_page_count_though_there_is_always_more(self, docebo: Platform) -> None:
        docebo.serves_pages(
            BRANCHES, *(page_with(*records(page)).page(page, of=2).with_paging(has_more_data=True) for page in (1, 2))
        )

        output = read("branches")

        assert output.records("branches") == records(1, 2)
        assert len(docebo.requests_for(BRANCHES)) == 2

    def test_a_short_page_without_any_paging_field_is_the_last(self, docebo: Platform) -> None:
        docebo.serves_pages(
            BRANCHES,
            page_with(*records(*range(200))).without_paging(),
            page_with(*records(*range(200, 399))).without_paging(),
        )

        assert read("branches").records("branches") == records(*range(399))

    def test_a_bare_list_is_read_whole(self, docebo: Platform) -> None:
        docebo.serves_pages(
            FIELDS,
            PageBuilder().with_records(*({"id": str(number)} for number in range(200))).as_bare_list(),
            PageBuilder().as_bare_list(),
        )

        output = read("user_fields")

        assert output.records("user_fields") == [{"id": str(number)} for number in range(200)]
        assert output.is_complete("user_fields")


class TestWrongPages:
    def test_an_empty_page_in_the_middle_is_requested_again(self, docebo: Platform) -> None:
        empty, second = page_with().page(2, of=3), page_with(*records(2)).page(2, of=3)
        docebo.serves_pages(BRANCHES, page_with(*records(1)).page(1, of=3))
        docebo.responds(BRANCHES, empty.build(), second.build(), when={"page": "2"})
        docebo.responds(BRANCHES, page_with(*records(3)).page(3, of=3).build(), when={"page": "3"})

        output = read("branches")

        assert output.records("branches") == records(1, 2, 3)
        assert output.is_complete("branches")

    def test_a_page_that_stays_empty_fails_the_stream_with_the_numbers(self, docebo: Platform) -> None:
        docebo.serves_pages(
            BRANCHES,
            page_with(*records(1, 2)).page(1, of=3).with_paging(total_count=6),
            page_with().page(2, of=3).with_paging(total_count=6),
        )

        output = read("branches")

        assert output.records("branches") == records(1, 2)
        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert "Page 2 of 3 is empty although more was announced: 2 of 6 records were received." in message
        assert output.is_incomplete("branches")

    def test_a_cache_that_serves_the_first_page_for_every_page_fails_the_stream(self, docebo: Platform) -> None:
        docebo.responds(BRANCHES, page_with(*records(1)).without_paging().with_paging(has_more_data=True).build())
        docebo.serves("learn/v1/certification", {"id_cert": 1})

        output = read("branches", "certifications")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert "Page 2 holds the same records as an earlier page." in message
        assert output.is_incomplete("branches")
        assert output.is_complete("certifications")

    def test_a_list_without_end_fails_the_stream(self, docebo: Platform) -> None:
        for number in range(1, 60):
            page = page_with(*records(number)).with_paging(current_page=number, has_more_data=True, total_count=2)
            docebo.responds(BRANCHES, page.with_paging(total_page_count=None).build(), when={"page": str(number)})

        ((failure_type, message),) = read("branches").errors()

        assert failure_type.value == "transient_error"
        assert "The list does not end: 23 records were received of 2." in message
