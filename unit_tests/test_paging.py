"""Lists at the front door: read to their end, in the order of their pages, or failed. The rules: test_responses.py."""

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

    def test_a_page_more_is_requested_where_there_is_always_more(self, docebo: Platform) -> None:
        pages = [page_with(*records(page)).page(page, of=2).with_paging(has_more_data=True) for page in (1, 2)]
        docebo.serves_pages(BRANCHES, *pages, page_with().page(3, of=2))

        output = read("branches")

        assert output.records("branches") == records(1, 2)
        assert output.is_complete("branches")
        assert len(docebo.requests_for(BRANCHES)) == 3

    def test_a_count_that_is_capped_does_not_end_the_list(self, docebo: Platform) -> None:
        capped = {"total_count": 2, "total_page_count": 2}
        docebo.serves_pages(
            BRANCHES, *(page_with(*records(page)).page(page, of=4).with_paging(**capped) for page in (1, 2, 3, 4))
        )

        output = read("branches")

        assert output.records("branches") == records(1, 2, 3, 4)
        assert output.is_complete("branches")

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
        assert message.startswith(
            "Stream branches: Page 2 is empty, after 2 of 6 records. (GET /manage/v1/orgchart, page 2) Tried 9 times. "
        )
        assert output.is_incomplete("branches")

    def test_where_less_than_a_page_is_missing_an_empty_page_is_believed_with_a_warning(self, docebo: Platform) -> None:
        docebo.serves_pages(
            BRANCHES,
            page_with(*records(1, 2)).page(1, of=2).with_paging(total_count=3),
            page_with().page(2, of=2).with_paging(total_count=3),
        )

        output = read("branches")

        assert output.records("branches") == records(1, 2)
        assert output.is_complete("branches")
        assert output.warnings() == [
            "Stream branches: the list announces 1 more records than it returned (GET /manage/v1/orgchart, page 2). If "
            "rows have moved while it was read, they come with the next full sync."
        ]
        assert len(docebo.requests_for(BRANCHES)) == 3

    def test_a_cache_that_serves_the_first_page_for_every_page_fails_the_stream(self, docebo: Platform) -> None:
        docebo.responds(BRANCHES, page_with(*records(1)).without_paging().with_paging(has_more_data=True).build())
        docebo.serves("learn/v1/certification", {"id_cert": 1})

        output = read("branches", "certifications")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert message.startswith("Stream branches: Page 2 holds no record that the pages before it did not, after ")
        assert output.is_incomplete("branches")
        assert output.is_complete("certifications")


class TestRowsThatMove:
    """Each of them would be missed if pages were read in their order, once."""

    def test_rows_that_move_up_behind_deleted_ones_are_read(self, docebo: Platform) -> None:
        full = [page_with(*records(*rows)).with_paging(total_count=6) for rows in ((1, 2), (3, 4), (5, 6))]
        after = [page_with(*records(*rows)).with_paging(total_count=5) for rows in ((2, 3), (4, 5), (6,))]
        docebo.serves_pages(BRANCHES, *full)
        for number in (1, 2, 3):
            was, is_now = (pages[number - 1].page(number, of=3).build() for pages in (full, after))
            # Row 1 is deleted after the first page was read.
            docebo.responds(BRANCHES, *([was] if number == 1 else []), is_now, when={"page": str(number)})

        output = read("branches")

        assert {record["id"] for record in output.records("branches")} == {1, 2, 3, 4, 5, 6}
        assert output.is_complete("branches")
        assert output.warnings() == []

    def test_where_a_row_came_twice_and_another_is_missing_the_list_is_read_once_more(self, docebo: Platform) -> None:
        """Row 1 moved to the end, so that row 3 slipped onto the page that was read already."""
        first = [page_with(*records(*rows)).page(page, of=2) for page, rows in enumerate([(1, 2), (4, 1)], start=1)]
        again = [page_with(*records(*rows)).page(page, of=2) for page, rows in enumerate([(2, 3), (4, 1)], start=1)]
        for number, pages in enumerate(zip(first, again, strict=True), start=1):
            responses = [page.with_paging(total_count=4).build() for page in pages]
            docebo.responds(BRANCHES, *responses, when={"page": str(number)})
        docebo.responds(BRANCHES, page_with().page(3, of=2).with_paging(total_count=4).build(), when={"page": "3"})

        output = read("branches")

        assert {record["id"] for record in output.records("branches")} == {1, 2, 3, 4}
        assert output.is_complete("branches")
        assert output.warnings() == []

    def test_a_page_or_more_of_new_rows_in_front_is_read(self, docebo: Platform) -> None:
        """Pages move down, so that one brings no new row, and those of the import are missing at the end."""
        grown = {2: records(1, 2), 3: records(3, 4), 4: []}
        docebo.responds(
            BRANCHES,
            page_with(*records(1, 2)).page(1, of=2).with_paging(total_count=4).build(),
            page_with(*records(8, 9)).page(1, of=3).with_paging(total_count=6).build(),
        )
        for number, rows in grown.items():
            page = page_with(*rows).page(number, of=3).with_paging(total_count=6)
            docebo.responds(BRANCHES, page.build(), when={"page": str(number)})

        output = read("branches")

        assert output.errors() == []
        assert {record["id"] for record in output.records("branches")} == {1, 2, 3, 4, 8, 9}
        assert output.is_complete("branches")
