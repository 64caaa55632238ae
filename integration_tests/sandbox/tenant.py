"""
The data set of a sandbox tenant, of any size, made from a seed.

Each record is built twice at once: as the API sends it (wire) and as the connector must emit it (emitted). What differs
comes from tables of pairs, so that a test knows the expected records without running the connector.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MANIFEST = Path(__file__).parent.parent.parent / "manifest.yaml"
PAGE_SIZE = 200
COURSES_PER_REQUEST = 100
BRANCHES_BELOW = 3
EPOCH = "1970-01-01T00:00:00Z"

# Unusual values of a date field, and what the connector must emit for each.
ODD_MOMENTS: tuple[tuple[Any, str | None], ...] = (
    ("0000-00-00 00:00:00", EPOCH),
    (None, None),
    ("0000-00-00", EPOCH),
    ("2024-05-01", "2024-05-01T00:00:00Z"),
    ("-0001-11-30 00:00:00", EPOCH),
    ("", None),
    ("2024/05/01 08:30:00", "2024-05-01T08:30:00Z"),
    ("2023-02-30 10:00:00", EPOCH),
    ("2024-05-01T08:30:00", "2024-05-01T08:30:00Z"),
    ("0", None),
    ("2024-05-01 08:30:00.000", "2024-05-01T08:30:00Z"),
    ("null", None),
    ("2024-05-01T08:30:00+02:00", "2024-05-01T06:30:00Z"),
    ("NULL", None),
    ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00Z"),
    ("   ", None),
    ("2024-02-29 23:30:00-0100", "2024-03-01T00:30:00Z"),
    ("2024/05/01", "2024-05-01T00:00:00Z"),
)
TITLES = (
    "Welcome to the company",
    "0000-00-00 rollover",
    "Datenschutz für Führungskräfte",
    'Safety <b>first</b> & "last"',
    "安全培训",
    "null",
    "2023-02-30 10:00:00",
    "Sales basics 🚀",
)
# The names of branches: the company, what is right below it, and what is below that.
BRANCH_NAMES = (("Acme",), ("Europe", "Americas", "Asia Pacific"), ("Sales", "Operations", "Research"), ("Team",))
# Fields that have another name on older tenants: stream, current name, older name.
OLDER_NAMES = (
    ("groups", "uuid", "audience_id"),
    ("user_fields", "id", "id_field"),
    ("course_fields", "id", "field_id"),
    ("course_fields", "type", "type_field"),
    ("course_fields", "name", "name_field"),
    ("external_training", "training_id", "external_training_id"),
    ("branches", "iLeft", "i_left"),
    ("branches", "iRight", "i_right"),
    ("group_members", "user_id", "idst"),
    ("catalogs", "catalogue_id", "catalog_id"),
    ("learning_plan_courses", "id_course", "course_id"),
)
LISTS = (
    "branches",
    "catalogs",
    "categories",
    "certifications",
    "course_details",
    "course_fields",
    "courses",
    "enrollments",
    "external_training",
    "groups",
    "learning_plan_enrollments",
    "learning_plans",
    "user_fields",
    "users",
)
# Child stream, its parent, and the field that the connector adds.
CHILDREN = {
    "branch_members": ("branches", "branch_id"),
    "course_learning_objects": ("courses", "course_id"),
    "group_members": ("groups", "group_uuid"),
    "learning_plan_course_enrollments": ("learning_plans", "learning_plan_id"),
    "learning_plan_courses": ("learning_plans", "learning_plan_id"),
    "session_enrollments": ("sessions", "session_id"),
    "session_events": ("sessions", "session_id"),
    "sessions": ("courses", "course_id"),
}
# Children whose list is not known to have pages: one response holds it all.
UNPAGED = ("course_learning_objects", "session_events")
# Streams whose additional fields are defined by another list.
DEFINITIONS = {"course_details": "course_fields", "users": "user_fields"}


def manifest_streams() -> dict[str, tuple[str, dict[str, Any]]]:
    """The path and the schema of each stream that the manifest lists, sorted by its name."""
    manifest = yaml.load(MANIFEST.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    names = sorted(reference.rpartition("/")[2] for reference in manifest["streams"])
    urls = {name: manifest["definitions"]["streams"][name]["$parameters"]["url"] for name in names}
    paths = {name: url.removeprefix("{{ config['base_url'] }}/") for name, url in urls.items()}
    return {name: (paths[name], manifest["schemas"][name]) for name in names}


_DECLARED = manifest_streams()
MANIFEST_STREAMS = tuple(_DECLARED)
# Lists that have no data set of their own here yet: a few records, with the fields that the schema declares.
NEW_LISTS = {
    name: declared
    for name, declared in _DECLARED.items()
    if name not in {*LISTS, *CHILDREN, "course_enrollments"} and "{{" not in declared[0]
}
NEW_LIST_RECORDS = 3
# What tests read by default: a stream that the sandbox does not serve is left to tests of its own.
STREAMS = tuple(name for name in MANIFEST_STREAMS if name in {*LISTS, *CHILDREN, *NEW_LISTS, "course_enrollments"})

# An additional field's value as it is sent and as it must be emitted. A dropdown sends the label of an option.
FIELD_VALUES: tuple[tuple[Any, str | None], ...] = (
    ("Research & Development", "Research & Development"),
    (None, None),
    ("2021-03-04", "2021-03-04"),
    ("", ""),
    (42, "42"),
    ("0000-00-00", "0000-00-00"),
    (True, "true"),
    ("Köln", "Köln"),
    ({"x": [1, 2]}, '{"x":[1,2]}'),
    (1.5, "1.5"),
    (["a", "b"], '["a","b"]'),
)
# What `date_last_updated` holds when an enrollment has no date of change, and what must be emitted.
NO_CHANGE_DATES: dict[int, tuple[str | None, str | None]] = {3: (None, None), 8: ("0000-00-00 00:00:00", EPOCH)}
# When the enrollments of a new tenant were changed.
FIRST_CHANGE = datetime(2022, 1, 1)
LAST_CHANGE = datetime(2024, 6, 30, 12)


class Record:
    """One record, as the API sends it and as the connector must emit it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.wire: dict[str, Any] = {}
        self.emitted: dict[str, Any] = {}

    def same(self, **fields: Any) -> "Record":
        """Fields that are emitted as they are sent."""
        self.wire.update(fields)
        self.emitted.update(fields)
        return self

    def pair(self, name: str, wire: Any, emitted: Any) -> "Record":
        """A field that is sent in one form and emitted in another."""
        self.wire[name] = wire
        self.emitted[name] = emitted
        return self

    def whole(self, **fields: int) -> "Record":
        """Whole numbers, some of them sent as text."""
        for position, (name, value) in enumerate(fields.items()):
            self.pair(name, str(value) if (self.number + position) % 17 == 3 else value, value)
        return self

    def user(self, identifier: int) -> "Record":
        """The key of a user where Docebo sends it as text, some of them as a number."""
        return self.pair("user_id", identifier if self.number % 19 == 4 else str(identifier), identifier)

    def text(self, **fields: Any) -> "Record":
        """Numbers that are emitted as text, some of them sent as a number."""
        for position, (name, value) in enumerate(fields.items()):
            self.pair(name, value if (self.number + position) % 19 == 4 else str(value), str(value))
        return self

    def flag(self, **fields: bool) -> "Record":
        """Booleans, some of them sent as 0 or 1, or as text."""
        for position, (name, value) in enumerate(fields.items()):
            variant = (self.number + position) % 23
            self.pair(name, int(value) if variant == 5 else str(int(value)) if variant == 6 else value, value)
        return self

    def object(self, **fields: dict[str, Any] | None) -> "Record":
        """Objects; an empty one is sent as PHP does, `[]`."""
        for name, value in fields.items():
            self.pair(name, value or [], value or {})
        return self

    def moments(self, *names: str) -> "Record":
        """Dates with a time of day."""
        for position, name in enumerate(names):
            self.pair(name, *moment(self.number * 7 + position * 3))
        return self

    def validity(self) -> "Record":
        """When an enrollment holds."""
        ends = ("begin_date", "begin_datetime", "end_date", "end_datetime")
        return self.moments(*(f"enrollment_validity_{end}" for end in ends))


class List(NamedTuple):
    """A list of the API: its number of records, and a function from a position (from 0) to the record."""

    size: int
    record: Callable[[int], Record]


class Tenant:
    """
    A tenant of Docebo's.

    Sizes are numbers of records; those named `.._per_..` are averages, around which the number of children varies.
    older_names: fields have the names of older tenants. newer_branches: branches also hold their parent's id and code.
    description_bytes: every tenth course has a description of that size. group_keys: the keys of the first groups.
    `version` changes with the data, for whoever caches responses.

    A row of a list has a number, which stays with it while rows are deleted, moved and inserted.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        courses: int = 24,
        users: int = 60,
        groups: int = 5,
        learning_plans: int = 6,
        branches: int = 9,
        categories: int = 7,
        certifications: int = 4,
        external_trainings: int = 11,
        user_fields: int = 8,
        course_fields: int = 6,
        catalogs: int = 5,
        objects_per_course: int = 4,
        sessions_per_course: int = 2,
        enrollments_per_course: int = 12,
        members_per_group: int = 30,
        members_per_branch: int = 7,
        enrollments_per_plan: int = 15,
        course_enrollments_per_plan: int = 25,
        courses_per_plan: int = 3,
        events_per_session: int = 2,
        enrollments_per_session: int = 9,
        older_names: bool = False,
        newer_branches: bool = False,
        description_bytes: int = 0,
        group_keys: Sequence[str] = (),
    ) -> None:
        self._parameters = {name: value for name, value in locals().items() if name != "self"}
        self.seed = seed
        self.version = 0
        self.sizes = {
            "courses": courses,
            "users": users,
            "groups": groups,
            "learning_plans": learning_plans,
            "branches": branches,
            "catalogs": catalogs,
            "categories": categories,
            "certifications": certifications,
            "external_training": external_trainings,
            "course_details": courses,
            "course_fields": course_fields,
            "user_fields": user_fields,
            **dict.fromkeys(NEW_LISTS, NEW_LIST_RECORDS),
        }
        self._averages = {
            "course_learning_objects": objects_per_course,
            "sessions": sessions_per_course,
            "course_enrollments": enrollments_per_course,
            "group_members": members_per_group,
            "branch_members": members_per_branch,
            "learning_plan_enrollments": enrollments_per_plan,
            "learning_plan_course_enrollments": course_enrollments_per_plan,
            "learning_plan_courses": courses_per_plan,
            "session_events": events_per_session,
            "session_enrollments": enrollments_per_session,
        }
        self.older_names = older_names
        self.newer_branches = newer_branches
        self._description_bytes = description_bytes
        self._group_keys = tuple(group_keys)
        self._undefined_user_fields: list[int] = []
        self._changed_enrollments: dict[int, str] = {}
        self._added: Counter[str] = Counter()
        self._orders: dict[str, tuple[int, ...]] = {}
        self._branch_bounds = _nested_set(branches)
        # Branches take their members one after the other, so that people are in one, and the first in two.
        sizes = [self._size("branch_members", branch) for branch in range(branches)]
        self._first_members = list(accumulate((max(0, size - 1) for size in sizes), initial=0))
        self._enrollment_index = self._enrollment_starts()
        self._session_ids: tuple[int, list[int]] = (-1, [])  # the ids of all sessions, at a version of the data

    @classmethod
    def reference(cls, factor: float = 1) -> "Tenant":
        """400 courses, 5,000 users, 60 groups and 40 plans: about 79,000 records; or a multiple of it."""
        return cls(
            courses=round(400 * factor),
            users=round(5000 * factor),
            groups=round(60 * factor),
            learning_plans=round(40 * factor),
            branches=round(150 * factor),
            external_trainings=round(600 * factor),
            enrollments_per_course=151,
            members_per_group=160,
            members_per_branch=33,
            enrollments_per_plan=110,
            course_enrollments_per_plan=170,
        )

    @classmethod
    def large(cls) -> "Tenant":
        """About 430,000 records."""
        return cls.reference(5.5)

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments, for the same tenant in another process."""
        return self._parameters

    def add_user_field(self, defined: bool = True) -> str:
        """
        Adds an additional field to every user, with or without a definition in the list of fields. Returns its name.
        Its values are text.
        """
        self.version += 1
        if defined:
            self.sizes["user_fields"] += 1
            return f"field_{user_field_id(self.sizes['user_fields'] - 1)}"
        self._undefined_user_fields.append(9001 + len(self._undefined_user_fields))
        return f"field_{self._undefined_user_fields[-1]}"

    def change_enrollments(self, numbers: Iterable[int], moment: datetime) -> None:
        """Completes the enrollments at these positions of the list `enrollments` at that moment (UTC)."""
        self.version += 1
        self._changed_enrollments |= dict.fromkeys(numbers, str(moment.replace(microsecond=0)))

    def add_enrollments(self, count: int, moment: datetime) -> None:
        """Adds enrollments to the end of the list `enrollments`, last changed at that moment (UTC)."""
        self.change_enrollments(self.insert("enrollments", count, at=None), moment)

    def rows(self, stream: str) -> Sequence[int]:
        """The numbers of the rows of a list, in its order."""
        order = self._orders.get(stream)
        return range(self._all_rows(stream).size) if order is None else order

    def delete(self, stream: str, numbers: Iterable[int]) -> None:
        """Deletes rows of a list, by their numbers. Parents lose their children with them."""
        gone = set(numbers)
        self._reorder(stream, [number for number in self.rows(stream) if number not in gone])

    def move_to_end(self, stream: str, numbers: Iterable[int]) -> None:
        """Moves rows to the end of a list, as a change does if the list is in order of update."""
        moved = list(numbers)
        self._reorder(stream, [*(number for number in self.rows(stream) if number not in set(moved)), *moved])

    def insert(self, stream: str, count: int, at: int | None = 0) -> range:
        """Inserts new rows before a position of a list, at its end with None. Returns their numbers."""
        before, first = list(self.rows(stream)), self._all_rows(stream).size
        self._added[stream] += count
        inserted = range(first, first + count)
        position = len(before) if at is None else at
        self._reorder(stream, [*before[:position], *inserted, *before[position:]])
        return inserted

    def _reorder(self, stream: str, numbers: Iterable[int]) -> None:
        self.version += 1
        self._orders[stream] = tuple(numbers)

    def wire(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream as the API sends them."""
        return [record.wire for record in self._records(stream)]

    def emitted(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream as the connector must emit them, nulls included."""
        return [record.emitted for record in self._records(stream)]

    def count(self, streams: Iterable[str] = STREAMS) -> int:
        """How many records these streams have."""
        return sum(sum(part.size for part in self._parts(stream)) for stream in streams)

    def minimum_requests(self, streams: Iterable[str] | None = None) -> int:
        """The minimum number of requests that read these streams (all by default), one token included."""
        wanted = set(STREAMS if streams is None else streams)
        wanted |= {CHILDREN[stream][0] for stream in wanted if stream in CHILDREN}
        wanted |= {CHILDREN[stream][0] for stream in wanted if stream in CHILDREN}  # sessions are children, too
        lists = wanted - {*CHILDREN, "course_enrollments"}
        lists |= {"courses"} if "course_enrollments" in wanted else set()
        requests = 1 + sum(pages(self.list_of(stream).size) for stream in lists)
        for stream in wanted & set(CHILDREN):
            paged = stream not in UNPAGED
            requests += sum(pages(part.size) if paged else 1 for part in self._parts(stream))
        if "course_enrollments" in wanted:
            ids = self.course_ids()
            batches = [ids[start : start + COURSES_PER_REQUEST] for start in range(0, len(ids), COURSES_PER_REQUEST)]
            requests += sum(pages(self.course_enrollments(batch).size) for batch in batches)
        return requests

    def minimum_discover_requests(self) -> int:
        """The minimum number of requests of a discover: a token, and the definitions of additional fields."""
        defined = {DEFINITIONS[stream] for stream in STREAMS if stream in DEFINITIONS}
        return 1 + sum(pages(self.list_of(stream).size) for stream in defined) if defined else 0

    def list_of(self, stream: str) -> List:
        """A list without parent, as it is now."""
        rows, order = self._all_rows(stream), self._orders.get(stream)
        return rows if order is None else List(len(order), lambda position: rows.record(order[position]))

    def _all_rows(self, stream: str) -> List:
        """The rows of a list by their numbers, those included that were deleted."""
        if stream == "learning_plan_enrollments":
            return _joined([self._plan_enrollments(plan) for plan in range(self.sizes["learning_plans"])])
        added = self._added[stream]
        if stream == "enrollments":
            return List(self._enrollment_index[0][-1] + added, self._enrollment)
        if stream in NEW_LISTS:
            return List(self.sizes[stream] + added, lambda number: _by_schema(NEW_LISTS[stream][1], number))
        return List(self.sizes[stream] + added, self._named(stream, getattr(self, f"_{stream}")))

    def child(self, stream: str, parent: int) -> List:
        """The children of the parent of that number, counted from 0."""
        make = getattr(self, f"_{stream}")
        key_name = CHILDREN[stream][1]

        def record(number: int) -> Record:
            made: Record = make(parent, number)
            made.emitted[key_name] = self.parent_key(stream, parent)
            return made

        return List(self._size(stream, parent), self._named(stream, record))

    def course_enrollments(self, course_ids: Iterable[int]) -> List:
        """The enrollments of these courses, one course after the other; none of a course that does not exist."""
        known = {course_id(number): number for number in self.rows("courses")}
        return _joined([self._course_enrollments_of(known[course]) for course in course_ids if course in known])

    def course_ids(self) -> list[int]:
        """The ids of all courses, in the order of their list."""
        return [course_id(number) for number in self.rows("courses")]

    def parent_key(self, stream: str, parent: int) -> Any:
        """What the connector adds to each child of that parent."""
        keys = {"branches": branch_id, "courses": course_id, "groups": self.group_uuid, "learning_plans": plan_id}
        parents = CHILDREN[stream][0]
        return parent if parents == "sessions" else keys[parents](parent)

    def group_uuid(self, number: int) -> str:
        """The id of a group."""
        return self._group_keys[number] if number < len(self._group_keys) else f"6f1c7a52-0000-4000-8000-{number:012}"

    def parent_number(self, stream: str, key: str) -> int | None:
        """The number of the parent with that key, None if there is none."""
        known = {str(self.parent_key(stream, number)): number for number in self._parents(stream)}
        return known.get(key)

    def eligible(self, stream: str, parent: int) -> bool:
        """Whether the parent's own record says that it may have such children."""
        if stream == "sessions":
            return course_type(parent) != "elearning"
        if stream == "learning_plan_courses":
            return self._plan_counts(parent)[0] > 0
        return stream != "learning_plan_course_enrollments" or 0 not in self._plan_counts(parent)

    def _parents(self, stream: str) -> Sequence[int]:
        """The numbers of a child stream's parents; that of a session is its id."""
        parents = CHILDREN[stream][0]
        if parents != "sessions":
            return self.rows(parents)
        version, sessions = self._session_ids
        if version != self.version:
            sessions = [session["id"] for session in self.emitted("sessions")]
            self._session_ids = self.version, sessions
        return sessions

    def _parts(self, stream: str) -> Iterator[List]:
        if stream == "course_enrollments":
            yield self.course_enrollments(self.course_ids())
        elif stream not in CHILDREN:
            yield self.list_of(stream)
        else:
            for parent in self._parents(stream):
                if self.eligible(stream, parent):
                    yield self.child(stream, parent)

    def _records(self, stream: str) -> Iterator[Record]:
        for part in self._parts(stream):
            for number in range(part.size):
                yield part.record(number)

    def _named(self, stream: str, make: Callable[[int], Record]) -> Callable[[int], Record]:
        renamed = [(name, older) for owner, name, older in OLDER_NAMES if owner == stream and self.older_names]
        if not renamed:
            return make

        def record(number: int) -> Record:
            made = make(number)
            for name, older in renamed:
                made.wire[older] = made.emitted[older] = made.wire.pop(name)
            return made

        return record

    def _size(self, stream: str, parent: int) -> int:
        """Around the average, the same for the same seed; some parents have no children, some have many pages."""
        average = self._averages[stream]
        draw = mixed(self.seed, parent * 31 + len(stream))
        if draw % 13 == 0:
            return 0
        size = average * (40 + draw % 121) // 100
        if stream == "branch_members":
            return min(size, in_branches(self.sizes["users"]))
        of_users = stream in ("group_members", "course_enrollments", "session_enrollments")
        return min(size, self.sizes["users"]) if of_users else size

    def _courses(self, number: int) -> Record:
        record = Record(number).whole(id_course=course_id(number))
        record.same(
            name=TITLES[number % len(TITLES)] + ("" if number % 3 else f" {number}"),
            uidCourse=f"E-{mixed(self.seed, number):X}",
            description=f"<p>Course {number}</p>" + "<p>What you will learn.</p>" * (1 + number % 9)
            if number % 10 or not self._description_bytes
            else mixed(self.seed, number).to_bytes(4, "big").hex() * (self._description_bytes // 8),
            course_type=course_type(number),
            code=f"C{number:05}",
            slug_name=f"course-{number}",
            image="",
            language="english",
            language_label="English",
            multi_languages=[],
            is_new="0",
            is_opened="1",
            rating_option="disabled",
            img_url=f"https://cdn.example.com/{number}.png",
            partner_fields="",
            category={"id": 1 + number % 5, "name": "General"},
            max_attempts=None if number % 2 else 3,
            custom_label="as the tenant has it",
        )
        record.moments("date_last_updated", "start_date", "end_date")
        record.flag(selling=number % 2 == 0, can_rate=True, can_self_unenroll=False, is_affiliate=False)
        record.whole(duration=600 + number, current_rating=number % 6, credits=number % 4, enrollment_policy=1)
        record.text(price=number % 50, affiliate_price=0)
        return record.object(available_seats={"online": 5} if number % 4 == 0 else None, partner_data=None)

    def _users(self, number: int) -> Record:
        manager = manager_of(number)
        record = Record(number).user(user_id(number))
        record.same(
            username=f"person.{number}@example.com",
            first_name=("Zoë", "Lars", "李", "O'Neil", "Anna")[number % 5],
            last_name=f"Meier-{number}",
            email=f"person.{number}@example.com",
            uuid=f"{mixed(self.seed, number):08x}-0000-4000-8000-{number:012}",
            fullname=f"Meier-{number} Zoë",
            avatar="",
            language="English",
            lang_code="english",
            email_validation_status="1",
            send_notification="0",
            newsletter_optout="0",
            encoded_username=f"person.{number}%40example.com",
            timezone="Europe/Berlin",
            date_format=None if number % 2 else "dd-MM-yyyy",
            multidomains=[],
            managers=[] if manager is None else [{"manager_type_id": 1, "manager_username": username(manager)}],
            actions=["edit", "delete"],
            country="DE",
            request_on=None,
        )
        record.moments("last_access_date", "last_update", "creation_date", "expiration_date", "newsletter_optout_date")
        record.flag(is_manager=number % 9 == 0, expired=False)
        record.text(status=1, level=6)
        record.whole(active_subordinates_count=number % 3)
        for field in range(self.sizes["user_fields"]):
            record.pair(f"field_{user_field_id(field)}", *field_value(number, field))
        for identifier in self._undefined_user_fields:
            record.same(**{f"field_{identifier}": f"Value {number % 5}"})
        return record.object(manager_names=None if manager is None else {"1": {"manager_name": f"Meier-{manager} Zoë"}})

    def _user_fields(self, number: int) -> Record:
        record = Record(number).text(id=user_field_id(number))
        record.same(
            title=("Department", "Cost center", "Hire date")[number] if number < 3 else f"Field {number}",
            type=("textfield", "dropdown", "date", "country")[number % 4],
        )
        record.flag(enabled=True, inherited=False, invisible_to_user=False, mandatory=number % 2 == 0)
        return record.flag(system_field=False).object(settings={"rows": 2} if number % 2 else None)

    def _branches(self, number: int) -> Record:
        left, right, level = self._branch_bounds[number]
        record = Record(number).whole(id=branch_id(number), lev=level, iLeft=left, iRight=right)
        names = BRANCH_NAMES[min(level, len(BRANCH_NAMES)) - 1]
        title = f"{names[(number - 1) % len(names)]}{f' {number}' if level >= len(BRANCH_NAMES) else ''}"
        record.same(code=f"B{number}", title=title, actions=[])
        if self.newer_branches:
            above = (number - 1) // BRANCHES_BELOW
            record.pair("parent_id", branch_id(above) if number else None, branch_id(above) if number else None)
            record.same(parent_code=f"B{above}" if number else None)
            record.same(path_ids=[branch_id(place) for place in _path(number)])
        return record.whole(selectable=1, selected=0).flag(has_children=right > left + 1)

    def _branch_members(self, parent: int, number: int) -> Record:
        place = (self._first_members[parent] + number) % in_branches(self.sizes["users"])
        record = self._users(place + place // 11)
        record.emitted = {name: record.emitted[name] for name in ("user_id", "username")}
        return record

    def _groups(self, number: int) -> Record:
        record = Record(number).same(
            uuid=self.group_uuid(number),
            name=f"Group {number}",
            description="",
            slug=f"group-{number}",
            type=("automatic", "manual")[number % 2],
            labels=[],
        )
        record.flag(exclude_deactivated_users=True).whole(created_by=13000, updated_by=13001)
        return record.moments("updated_at").object(
            ruleset={"status": True, "operator": "AND", "sets": []} if number % 2 else None
        )

    def _group_members(self, parent: int, number: int) -> Record:
        member = (parent * 17 + number) % self.sizes["users"]
        return (
            Record(number)
            .user(user_id(member))
            .same(
                username=f"person.{member}@example.com",
                first_name="Zoë",
                last_name=f"Meier-{member}",
                email=f"person.{member}@example.com",
                relation_type="member",
            )
        )

    def _course_fields(self, number: int) -> Record:
        record = Record(number).whole(id=course_field_id(number)).same(type=("textfield", "dropdown")[number % 2])
        name: dict[str, Any] = {"value": f"Field {number}" if number % 4 else None, "values": []}
        return record.object(name=name if number % 5 < 4 else None)

    def _course_details(self, number: int) -> Record:
        record = Record(number).whole(id=course_id(number))
        record.same(
            code=f"C{number:05}",
            uidCourse=f"E-{mixed(self.seed, number):X}",
            title=TITLES[number % len(TITLES)],
            type=course_type(number),
            language="english",
            language_label="English",
            course_status=("published", "under_maintenance")[number % 2],
            category_name="General",
            created_by="Anna Meier",
            slug_name=f"course-{number}",
            thumbnail=None if number % 3 else f"https://cdn.example.com/{number}.png",
            actions=["edit"],
        )
        record.flag(is_deleted=False, published=number % 2 == 0, has_esignature_enabled=False)
        record.flag(imported_from_content_marketplace=number % 3 == 0)
        record.whole(waiting_list=0, outdated_count=number % 2, session_waiting_list=0, users_without_session_count=1)
        record.whole(enrolled_count=number % 31, average_completion_time=number * 60, sessions_count=number % 3)
        record.moments("creation_date", "last_update", "start_date", "end_date", "removed_at", "decommissioned_at")
        for field in range(self.sizes["course_fields"]):
            record.pair(f"field_{course_field_id(field)}", *field_value(number, field))
        return record

    def _enrollment_starts(self) -> tuple[list[int], list[tuple[bool, int]]]:
        """Where the enrollments of each course and plan begin, and which course (True) or plan (False) it is."""
        parents = [(True, course) for course in range(self.sizes["courses"])]
        parents += [(False, plan) for plan in range(self.sizes["learning_plans"])]
        # Courses and plans take turns, since the list mixes them.
        parents.sort(key=lambda parent: (parent[1], parent[0]))
        starts, total = [], 0
        for is_course, parent in parents:
            starts.append(total)
            total += (self._course_enrollments_of(parent) if is_course else self._plan_enrollments(parent)).size
        return [*starts, total], parents

    def enrollments_updated(self, since: str | None, until: str | None) -> List:
        """
        The enrollments changed between two moments (`YYYY-MM-DD HH:MM:SS`, both inclusive), all if both are None.
        An enrollment without a date of change is in no such period.
        """
        if since is None and until is None:
            return self.list_of("enrollments")
        dates = ((number, self._change_date(number)[0]) for number in self.rows("enrollments"))
        numbers = [
            number
            for number, date in dates
            if date and date > "0001" and (since is None or date >= since) and (until is None or date <= until)
        ]
        return List(len(numbers), lambda position: self._enrollment(numbers[position]))

    def _change_date(self, number: int) -> tuple[str | None, str | None]:
        changed = self._changed_enrollments.get(number)
        if changed is None and number % 11 in NO_CHANGE_DATES:
            return NO_CHANGE_DATES[number % 11]
        span = int((LAST_CHANGE - FIRST_CHANGE).total_seconds())
        date = changed or str(FIRST_CHANGE + timedelta(seconds=mixed(self.seed, number) % (span + 1)))
        return date, date.replace(" ", "T") + "Z"

    def _enrollment(self, number: int) -> Record:
        starts, parents = self._enrollment_index
        added = number - starts[-1]
        if added >= 0:
            is_course, parent, member = True, 0, self.sizes["users"] + added
        else:
            position = bisect_right(starts, number) - 1
            is_course, parent = parents[position]
            member = (parent * (7 if is_course else 13) + number - starts[position]) % self.sizes["users"]
        record = Record(number).whole(id=course_id(parent) if is_course else plan_id(parent), user_id=user_id(member))
        record.same(
            type=course_type(parent) if is_course else "learning_plan",
            username=f"person.{member}@example.com",
            name=TITLES[parent % len(TITLES)],
            status="completed" if number in self._changed_enrollments else ("enrolled", "in_progress")[number % 2],
            level="student",
            score=None if number % 3 else 87.5,
            complete_percent=None if is_course else number % 101,
            courses_count=None if is_course else 3,
            id_session=None,
        )
        record.pair("date_last_updated", *self._change_date(number))
        record.moments("enroll_date_of_enrollment", "enroll_begin_date", "enroll_end_date")
        record.moments("course_begin_date", "course_end_date", "course_complete_date")
        record.pair("enrollment_fields", *(({"4": "x"}, '{"4":"x"}') if number % 4 == 0 else (None, None)))
        record.flag(waiting=False, soft_deadline=number % 5 == 0).whole(subscribed_by=user_id(0))
        return record.whole(duration=number % 90, total_time=number * 30)

    def _course_learning_objects(self, parent: int, number: int) -> Record:
        record = Record(number).whole(id_org=parent * 100 + number, id_parent=parent)
        record.text(item_id=parent * 1000 + number, id_resource=number)
        return record.same(title=TITLES[number % len(TITLES)], object_type="sco", status="attempted")

    def _course_enrollments_of(self, parent: int) -> List:
        return List(self._size("course_enrollments", parent), lambda number: self._course_enrollments(parent, number))

    def _course_enrollments(self, parent: int, number: int) -> Record:
        member = (parent * 7 + number) % self.sizes["users"]
        record = Record(number).whole(course_id=course_id(parent), user_id=user_id(member))
        record.same(
            username=f"person.{member}@example.com",
            course_name=TITLES[parent % len(TITLES)],
            course_code=f"C{parent:05}",
            course_uid=f"E-{parent}",
            course_type=course_type(parent),
            enrollment_level=("student", "instructor", "tutor")[number % 40 if number % 40 < 3 else 0],
            enrollment_status=("enrolled", "waiting", "not_started", "in_progress", "completed")[number % 5],
            enrollment_created_by=13000,
            enrollment_score=None if number % 3 else 87.5,
            assignment_type=None if number % 4 else "mandatory",
        )
        record.moments("enrollment_created_at", "enrollment_date_last_updated", "enrollment_completion_date")
        return record.validity().whole(enrollment_time_spent=number * 60)

    def _sessions(self, parent: int, number: int) -> Record:
        record = Record(number).whole(id=parent * 50 + number + 1)
        record.same(
            code=f"S{number}",
            name=f"Session {number}",
            uid_session=f"ILT-{parent}-{number}",
            additional_fields=[]
            if number % 2
            else [
                {"id": "3", "name": "Room", "value": ("B12", 4, None)[number % 3], "mandatory": False, "type": "text"}
            ],
            attendance_details={"onsite": 3, "online": 0, "flexible": 0},
            attendance_type="flexible",
        )
        record.moments("date_start", "date_end")
        record.text(hours=8, events=2, events_with_sync_failed=0, instructors=1, waiting=0, enrolled=9, max_enroll=20)
        record.text(created_by=13000).whole(instructors_emails_number=1).flag(externally_managed=False)
        return record.object(
            location={"id": 1, "name": "Main", "address": "Street 1", "count": 2} if number % 2 else None
        )

    def _session_events(self, parent: int, number: int) -> Record:
        is_webinar = (parent + number) % 3 == 0
        record = Record(number).whole(id=parent * 20 + number + 1)
        record.same(
            name=TITLES[number % len(TITLES)],
            time_begin=f"{8 + number % 9:02}:30:00",
            time_end=f"{9 + number % 9:02}:15:00",
            timezone="Europe/Berlin",
            webinar_tool="zoom" if is_webinar else None,
            url=f"https://meet.example.com/{parent}/{number}" if is_webinar else None,
            instructors=[] if number % 2 else [{"user_id": 13000, "firstname": "Zoë"}],
        )
        record.text(duration=45, effective_duration=40).flag(has_recording=is_webinar)
        record.pair("location_id", *((None, None) if is_webinar else ("1", 1)))
        record.pair("classroom_id", *((None, None) if is_webinar else (2, 2)))
        return record.moments("day")

    def _session_enrollments(self, parent: int, number: int) -> Record:
        member = (parent * 19 + number) % self.sizes["users"]
        record = Record(number).user(user_id(member))
        record.same(
            username=f"person.{member}@example.com",
            email=f"person.{member}@example.com",
            status=("enrolled", "in_progress", "completed")[number % 3],
        )
        record.text(status_id=number % 3, user_status=1)
        return record.moments("enrollment_date", "completion_date")

    def _catalogs(self, number: int) -> Record:
        record = Record(number).whole(catalogue_id=number + 1)
        record.same(
            catalogue_name=f"Catalog {number}",
            catalogue_code=None if number % 2 else f"CAT{number}",
            catalogue_description=None if number % 3 else "<p>Open to all</p>",
        )
        items = [self._catalog_item(number * 6 + position) for position in range(number % 4 * 2)]
        # A list with a gap in its numbering is an object to PHP.
        sent = {str(place + 1): item.wire for place, item in enumerate(items)} if number % 4 == 3 else None
        return record.pair("sub_items", sent or [item.wire for item in items], [item.emitted for item in items])

    def _catalog_item(self, number: int) -> Record:
        is_plan = number % 3 == 0
        record = Record(number).whole(item_id=plan_id(number) if is_plan else course_id(number))
        record.same(
            item_type="learning_plan" if is_plan else course_type(number),
            item_name=TITLES[number % len(TITLES)],
            item_code=f"I{number}",
            item_slug=f"item-{number}",
            access_status="subscribed",
        )
        record.text(item_price=number % 50, duration=600 + number)
        return record.pair("item_date_end", *moment(number if number % 2 else number * 11))

    def _categories(self, number: int) -> Record:
        record = Record(number).whole(id=number + 1, lev=2, iLeft=2 * number + 1, iRight=2 * number + 2)
        record.same(code=f"K{number}", title=f"Category {number}", title_parent="Root", icon="")
        return record.flag(has_child=number % 2 == 0)

    def _certifications(self, number: int) -> Record:
        record = Record(number).whole(id_cert=number + 1).same(title=f"Certificate {number}", code="", description="")
        return record.text(duration=12).same(duration_unit="month", allow_same_item="0")

    def _learning_plans(self, number: int) -> Record:
        courses, enrollments = self._plan_counts(number)
        record = Record(number).whole(learning_plan_id=plan_id(number))
        record.same(uuid=f"plan-{number}", code=f"P{number}", title=TITLES[number % len(TITLES)], thumbnail_url=None)
        record.text(price=0).whole(credits=number % 3).flag(is_published=True, is_publishable=True)
        record.whole(assigned_courses_count=courses, assigned_enrollments_count=enrollments)
        record.whole(assigned_catalogs_count=1, assigned_channels_count=0).moments("created_on", "updated_on")
        return record.object(created_by={"id": 13000, "fullname": "Anna Meier"}, updated_by=None)

    def _plan_counts(self, plan: int) -> tuple[int, int]:
        return (0 if plan % 5 == 4 else 3, 0 if plan % 7 == 3 else self._plan_size(plan))

    def _plan_size(self, plan: int) -> int:
        return max(1, self._size("learning_plan_enrollments", plan))

    def _plan_enrollments(self, plan: int) -> List:
        size = 0 if plan % 7 == 3 else self._plan_size(plan)
        return List(min(size, self.sizes["users"]), lambda number: self._plan_enrollment(plan, number))

    def _plan_enrollment(self, plan: int, number: int) -> Record:
        member = (plan * 13 + number) % self.sizes["users"]
        record = Record(number).whole(learning_plan_id=plan_id(plan), user_id=user_id(member))
        record.same(
            username=f"person.{member}@example.com",
            learning_plan_code=f"P{plan}",
            learning_plan_name=TITLES[plan % len(TITLES)],
            assignment_type=None,
            enrollment_created_by=13000,
            enrollment_status=("not_started", "in_progress", "completed")[number % 3],
        )
        record.moments("enrollment_created_at", "enrollment_date_last_updated", "enrollment_completion_date")
        return record.validity().whole(enrollment_completion_percentage=number % 101, enrollment_time_spent=number)

    def _learning_plan_course_enrollments(self, parent: int, number: int) -> Record:
        member = number // 3 % self.sizes["users"]
        record = Record(number).whole(course_id=course_id(number % 3), user_id=user_id(member))
        record.same(
            course_code=f"C{number % 3:05}",
            course_name=TITLES[number % 3],
            enrollment_level="student",
            enrollment_status=("not_started", "in_progress", "completed")[parent % 3],
        )
        return record.moments("enrollment_completion_date", "enrollment_created_at")

    def _learning_plan_courses(self, parent: int, number: int) -> Record:
        course = parent + number
        record = Record(number).whole(id_course=course_id(course), sequence=number + 1, prerequisites_count=number)
        record.same(
            uid=f"E-{course}",
            code=f"C{course:05}",
            title=TITLES[course % len(TITLES)],
            type=course_type(course),
            language={"code": "english", "name": "English", "browser_code": "en"},
        )
        record.flag(is_published=True, is_required=number % 2 == 0).moments("create_date")
        return record.object(
            category={"id": 3, "name": "General"} if number % 2 else None,
            prerequisites_completion={"type": "all"} if number else None,
        )

    def _external_training(self, number: int) -> Record:
        record = Record(number).whole(training_id=number + 1, user_id=user_id(number % self.sizes["users"]))
        record.same(title=f"Conference {number}", course_code=None, training_institute="", training_institute_code="")
        record.same(uuid=f"ext-{number}", score=None if number % 2 else 9, additional_fields=[]).text(ceus=number % 4)
        return record.moments("from_date", "to_date")


def moment(number: int) -> tuple[Any, str | None]:
    """A date, as it is sent and as it must be emitted: one in eleven is unusual."""
    if number % 11 == 0:
        return ODD_MOMENTS[number // 11 % len(ODD_MOMENTS)]
    day = f"{2015 + number % 12}-{1 + number % 12:02}-{1 + number % 28:02}"
    time = f"{number % 24:02}:{number % 60:02}:{number * 7 % 60:02}"
    return f"{day} {time}", f"{day}T{time}Z"


def mixed(seed: int, number: int) -> int:
    """A pseudorandom 32-bit number, the same for the same seed and number."""
    draw = (seed * 0x9E3779B1 + number * 0x85EBCA6B + 1) & 0xFFFFFFFF
    draw = ((draw ^ (draw >> 15)) * 0xC2B2AE35) & 0xFFFFFFFF
    return draw ^ (draw >> 13)


def course_id(number: int) -> int:
    """The id of a course."""
    return 101 + number


def course_type(number: int) -> str:
    """Seven courses in ten are e-learning."""
    return "elearning" if number % 10 < 7 else ("classroom", "webinar")[number % 2]


def branch_id(number: int) -> int:
    """The id of a branch."""
    return 1 + number


def in_branches(users: int) -> int:
    """How many of these users are in a branch: all but every twelfth."""
    return users - users // 12


def plan_id(number: int) -> int:
    """The id of a learning plan. Plans and courses have the same numbers, as they may in Docebo."""
    return course_id(number)


def user_id(number: int) -> int:
    """The id of a user."""
    return 13000 + number


def username(number: int) -> str:
    """The username of a user."""
    return f"person.{number}@example.com"


def manager_of(number: int) -> int | None:
    """The manager of a user: every ninth is one, and reports to the first. One user in five has none."""
    if number % 5 == 4 or number == 0:
        return None
    return number - number % 9 if number % 9 else 0


def user_field_id(number: int) -> int:
    """The id of an additional field of users: 1, 2, 3, 6, 7, 8, 11, .., since some were deleted."""
    return 1 + number + 2 * (number // 3)


def course_field_id(number: int) -> int:
    """The id of an additional field of courses: 1, 3, 5, .."""
    return 1 + 2 * number


def field_value(number: int, field: int) -> tuple[Any, str | None]:
    """The value of an additional field, as it is sent and as it must be emitted."""
    return FIELD_VALUES[(number + field * 3) % len(FIELD_VALUES)]


def _by_schema(schema: Mapping[str, Any], number: int) -> Record:
    """A record with the key that the schema requires, and null in every other field."""
    fields = schema["properties"]
    values = {name: number + 1 if "integer" in fields[name]["type"] else f"key-{number}" for name in schema["required"]}
    return Record(number).same(**dict.fromkeys(fields)).same(**values)


def without_nulls(record: Any) -> Any:
    """The record as the Airbyte serializer prints it: without the null fields of its first level."""
    return {name: value for name, value in record.items() if value is not None}


def pages(size: int) -> int:
    """The number of pages of a list; an empty list has one."""
    return max(1, -(-size // PAGE_SIZE))


def _path(branch: int) -> list[int]:
    """The numbers of the branches from the root to this one."""
    return [*(_path((branch - 1) // BRANCHES_BELOW) if branch else ()), branch]


def _nested_set(size: int) -> list[tuple[int, int, int]]:
    """For each branch of a tree of that size: left bound, right bound, level."""
    bounds = [(0, 0, 0)] * size
    counter = 0

    def visit(number: int, level: int) -> None:
        nonlocal counter
        counter += 1
        left = counter
        first = number * BRANCHES_BELOW + 1
        for child in range(first, min(first + BRANCHES_BELOW, size)):
            visit(child, level + 1)
        counter += 1
        bounds[number] = (left, counter, level)

    if size:
        visit(0, 1)
    return bounds


def _joined(parts: list[List]) -> List:
    starts, total = [], 0
    for part in parts:
        starts.append(total)
        total += part.size

    def record(number: int) -> Record:
        position = bisect_right(starts, number) - 1
        return parts[position].record(number - starts[position])

    return List(total, record)
