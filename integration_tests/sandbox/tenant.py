"""
The data set of a sandbox tenant, of any size, made from a seed.

Each record is built twice at once: as the API sends it (wire) and as the connector must emit it (emitted). What differs
comes from tables of pairs, so that a test can say which records must come without asking the connector.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

PAGE_SIZE = 200
EPOCH = "1970-01-01T00:00:00Z"

# What a date field may hold beside the usual text, and what it means.
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
# Fields that some tenants name otherwise: stream, name today, older name.
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
)
LISTS = (
    "branches",
    "categories",
    "certifications",
    "course_fields",
    "courses",
    "external_training",
    "groups",
    "learning_plan_enrollments",
    "learning_plans",
    "user_fields",
    "users",
)
# Child stream, its parent, and the field that the connector adds.
CHILDREN = {
    "course_learning_objects": ("courses", "course_id"),
    "group_members": ("groups", "group_uuid"),
    "learning_plan_course_enrollments": ("learning_plans", "learning_plan_id"),
    "sessions": ("courses", "course_id"),
}
STREAMS = tuple(sorted([*LISTS, *CHILDREN, "course_enrollments"]))


class Record:
    """One record, as it is sent and as it must be emitted."""

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

    def text(self, **fields: Any) -> "Record":
        """Texts that hold a number, some of them sent as a number."""
        for position, (name, value) in enumerate(fields.items()):
            self.pair(name, value if (self.number + position) % 19 == 4 else str(value), str(value))
        return self

    def flag(self, **fields: bool) -> "Record":
        """Booleans, some of them sent as 0 or 1, or as text."""
        for position, (name, value) in enumerate(fields.items()):
            odd = (self.number + position) % 23
            self.pair(name, int(value) if odd == 5 else str(int(value)) if odd == 6 else value, value)
        return self

    def thing(self, **fields: dict[str, Any] | None) -> "Record":
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
    """A list of the API: how many records it has, and each of them by its number from 0."""

    size: int
    record: Callable[[int], Record]


class Tenant:
    """A tenant. The sizes are counts; those `per_..` are averages, around which the children vary."""

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
        objects_per_course: int = 4,
        sessions_per_course: int = 2,
        enrollments_per_course: int = 12,
        members_per_group: int = 30,
        enrollments_per_plan: int = 15,
        course_enrollments_per_plan: int = 25,
        older_names: bool = False,
    ) -> None:
        self.seed = seed
        self.sizes = {
            "courses": courses,
            "users": users,
            "groups": groups,
            "learning_plans": learning_plans,
            "branches": branches,
            "categories": categories,
            "certifications": certifications,
            "external_training": external_trainings,
            "course_fields": 6,
            "user_fields": 8,
        }
        self._averages = {
            "course_learning_objects": objects_per_course,
            "sessions": sessions_per_course,
            "course_enrollments": enrollments_per_course,
            "group_members": members_per_group,
            "learning_plan_enrollments": enrollments_per_plan,
            "learning_plan_course_enrollments": course_enrollments_per_plan,
        }
        self.older_names = older_names

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
            enrollments_per_plan=110,
            course_enrollments_per_plan=170,
        )

    @classmethod
    def large(cls) -> "Tenant":
        """About 430,000 records."""
        return cls.reference(5.5)

    def parameters(self) -> dict[str, Any]:
        """What to give the constructor of the same tenant in another process."""
        sizes = {name: size for name, size in self.sizes.items() if not name.endswith("_fields")}
        sizes["external_trainings"] = sizes.pop("external_training")
        averages = self._averages
        return {
            "seed": self.seed,
            **sizes,
            "objects_per_course": averages["course_learning_objects"],
            "sessions_per_course": averages["sessions"],
            "enrollments_per_course": averages["course_enrollments"],
            "members_per_group": averages["group_members"],
            "enrollments_per_plan": averages["learning_plan_enrollments"],
            "course_enrollments_per_plan": averages["learning_plan_course_enrollments"],
            "older_names": self.older_names,
        }

    def wire(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream as the API sends them."""
        return [record.wire for record in self._records(stream)]

    def emitted(self, stream: str) -> list[dict[str, Any]]:
        """The records of a stream as the connector must emit them, nulls included."""
        return [record.emitted for record in self._records(stream)]

    def count(self, streams: Iterable[str] = STREAMS) -> int:
        """How many records these streams have."""
        return sum(sum(part.size for part in self._parts(stream)) for stream in streams)

    def fewest_calls(self, streams: Iterable[str] | None = None) -> int:
        """The fewest calls that read these streams (all by default), one token included."""
        wanted = set(STREAMS if streams is None else streams)
        lists = {stream for stream in wanted if stream in LISTS}
        lists |= {CHILDREN[stream][0] for stream in wanted if stream in CHILDREN}
        lists |= {"courses"} if "course_enrollments" in wanted else set()
        calls = 1 + sum(_pages(self.list(stream).size) for stream in lists)
        for stream in wanted & set(CHILDREN):
            paged = stream != "course_learning_objects"
            calls += sum(_pages(part.size) if paged else 1 for part in self._parts(stream))
        if "course_enrollments" in wanted:
            ids = self.course_ids()
            hundreds = [ids[start : start + 100] for start in range(0, len(ids), 100)]
            calls += sum(_pages(self.enrollments(hundred).size) for hundred in hundreds)
        return calls

    def list(self, stream: str) -> List:
        """A list without parent."""
        if stream == "learning_plan_enrollments":
            return _joined([self._plan_enrollments(plan) for plan in range(self.sizes["learning_plans"])])
        return List(self.sizes[stream], self._named(stream, getattr(self, f"_{stream}")))

    def child(self, stream: str, parent: int) -> List:
        """The children of the parent of that number, counted from 0."""
        make = getattr(self, f"_{stream}")
        key_name = CHILDREN[stream][1]

        def record(number: int) -> Record:
            made = make(parent, number)
            made.emitted[key_name] = self.parent_key(stream, parent)
            return made

        return List(self._size(stream, parent), self._named(stream, record))

    def enrollments(self, course_ids: Iterable[int]) -> List:
        """The enrollments of these courses, one course after the other."""
        first = self.course_ids()[0] if self.sizes["courses"] else 0
        parents = [identifier - first for identifier in course_ids if 0 <= identifier - first < self.sizes["courses"]]
        return _joined([self._course_enrollments_of(parent) for parent in parents])

    def course_ids(self) -> "list[int]":
        """The ids of all courses, in the order of their list."""
        return [course_id(number) for number in range(self.sizes["courses"])]

    def parent_key(self, stream: str, parent: int) -> Any:
        """What the connector adds to each child of that parent."""
        return {"courses": course_id, "groups": group_uuid, "learning_plans": plan_id}[CHILDREN[stream][0]](parent)

    def parent_number(self, stream: str, key: str) -> int | None:
        """The number of the parent with that key, None if there is none."""
        known = {str(self.parent_key(stream, number)): number for number in range(self.sizes[CHILDREN[stream][0]])}
        return known.get(key)

    def eligible(self, stream: str, parent: int) -> bool:
        """Whether the parent's own record says that it may have such children."""
        if stream == "sessions":
            return course_type(parent) != "elearning"
        return stream != "learning_plan_course_enrollments" or 0 not in self._plan_counts(parent)

    def _parts(self, stream: str) -> Iterator[List]:
        if stream == "course_enrollments":
            yield self.enrollments(self.course_ids())
        elif stream in LISTS:
            yield self.list(stream)
        else:
            for parent in range(self.sizes[CHILDREN[stream][0]]):
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
        return min(size, self.sizes["users"]) if stream in ("group_members", "course_enrollments") else size

    def _courses(self, number: int) -> Record:
        record = Record(number).whole(id_course=course_id(number))
        record.same(
            name=TITLES[number % len(TITLES)] + ("" if number % 3 else f" {number}"),
            uidCourse=f"E-{mixed(self.seed, number):X}",
            description=f"<p>Course {number}</p>" + "<p>What you will learn.</p>" * (1 + number % 9),
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
        return record.thing(available_seats={"online": 5} if number % 4 == 0 else None, partner_data=None)

    def _users(self, number: int) -> Record:
        record = Record(number).text(user_id=user_id(number))
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
            field_1=f"Department {number % 12}",
            field_7=(None, "0000-00-00", 42, True, {"x": [1, 2]}, ["a"], 1.5)[number % 7],
            multidomains=[],
            managers=[] if number % 5 else [{"manager_type_id": 1, "manager_username": "boss@example.com"}],
            actions=["edit", "delete"],
            country="DE",
            request_on=None,
        )
        record.moments("last_access_date", "last_update", "creation_date", "expiration_date", "newsletter_optout_date")
        record.flag(is_manager=number % 9 == 0, expired=False)
        record.text(status=1, level=6)
        record.whole(active_subordinates_count=number % 3)
        return record.thing(manager_names={"1": {"manager_name": "Boss"}} if number % 5 == 0 else None)

    def _user_fields(self, number: int) -> Record:
        record = Record(number).text(id=number + 1)
        record.same(title=f"Field {number + 1}", type=("text", "dropdown", "country")[number % 3])
        record.flag(enabled=True, inherited=False, invisible_to_user=False, mandatory=number % 2 == 0)
        return record.flag(system_field=False).thing(settings={"rows": 2} if number % 2 else None)

    def _branches(self, number: int) -> Record:
        record = Record(number).whole(id=number + 1, lev=1 + number % 4, iLeft=2 * number + 1, iRight=2 * number + 2)
        record.same(code=f"B{number}", title=f"Branch {number}", actions=[])
        return record.whole(selectable=1, selected=0).flag(has_children=number < 2)

    def _groups(self, number: int) -> Record:
        record = Record(number).same(
            uuid=group_uuid(number),
            name=f"Group {number}",
            description="",
            slug=f"group-{number}",
            type=("automatic", "manual")[number % 2],
            labels=[],
        )
        record.flag(exclude_deactivated_users=True).whole(created_by=13000, updated_by=13001)
        return record.moments("updated_at").thing(
            ruleset={"status": True, "operator": "AND", "sets": []} if number % 2 else None
        )

    def _group_members(self, parent: int, number: int) -> Record:
        member = (parent * 17 + number) % self.sizes["users"]
        return (
            Record(number)
            .text(user_id=user_id(member))
            .same(
                username=f"person.{member}@example.com",
                first_name="Zoë",
                last_name=f"Meier-{member}",
                email=f"person.{member}@example.com",
                relation_type="member",
            )
        )

    def _course_fields(self, number: int) -> Record:
        record = Record(number).whole(id=number + 1).same(type=("textfield", "dropdown")[number % 2])
        return record.thing(name={"value": f"Field {number}", "values": []} if number % 3 else None)

    def _course_learning_objects(self, parent: int, number: int) -> Record:
        record = Record(number).whole(id_org=parent * 100 + number, id_parent=parent)
        record.text(item_id=parent * 1000 + number, id_resource=number)
        return record.same(title=TITLES[number % len(TITLES)], object_type="sco", status="attempted")

    def _course_enrollments_of(self, parent: int) -> List:
        return List(self._size("course_enrollments", parent), lambda number: self._course_enrollments(parent, number))

    def _course_enrollments(self, parent: int, number: int) -> Record:
        member = (parent * 7 + number) % self.sizes["users"]
        record = Record(number).whole(course_id=course_id(parent), user_id=int(user_id(member)))
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
        return record.thing(
            location={"id": 1, "name": "Main", "address": "Street 1", "count": 2} if number % 2 else None
        )

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
        return record.thing(created_by={"id": 13000, "fullname": "Anna Meier"}, updated_by=None)

    def _plan_counts(self, plan: int) -> tuple[int, int]:
        return (0 if plan % 5 == 4 else 3, 0 if plan % 7 == 3 else self._plan_size(plan))

    def _plan_size(self, plan: int) -> int:
        return max(1, self._size("learning_plan_enrollments", plan))

    def _plan_enrollments(self, plan: int) -> List:
        size = 0 if plan % 7 == 3 else self._plan_size(plan)
        return List(min(size, self.sizes["users"]), lambda number: self._plan_enrollment(plan, number))

    def _plan_enrollment(self, plan: int, number: int) -> Record:
        member = (plan * 13 + number) % self.sizes["users"]
        record = Record(number).whole(learning_plan_id=plan_id(plan), user_id=int(user_id(member)))
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
        record = Record(number).whole(course_id=course_id(number % 3), user_id=int(user_id(member)))
        record.same(
            course_code=f"C{number % 3:05}",
            course_name=TITLES[number % 3],
            enrollment_level="student",
            enrollment_status=("not_started", "in_progress", "completed")[parent % 3],
        )
        return record.moments("enrollment_completion_date", "enrollment_created_at")

    def _external_training(self, number: int) -> Record:
        record = Record(number).whole(training_id=number + 1, user_id=13000 + number)
        record.same(title=f"Conference {number}", course_code=None, training_institute="", training_institute_code="")
        record.same(uuid=f"ext-{number}", score=None if number % 2 else 9, additional_fields=[]).text(ceus=number % 4)
        return record.moments("from_date", "to_date")


def moment(number: int) -> tuple[Any, str | None]:
    """A date, as it is sent and as it must be emitted: one in eleven is odd."""
    if number % 11 == 0:
        return ODD_MOMENTS[number // 11 % len(ODD_MOMENTS)]
    day = f"{2015 + number % 12}-{1 + number % 12:02}-{1 + number % 28:02}"
    time = f"{number % 24:02}:{number % 60:02}:{number * 7 % 60:02}"
    return f"{day} {time}", f"{day}T{time}Z"


def mixed(seed: int, number: int) -> int:
    """A number that looks random, and is the same for the same seed and number."""
    draw = (seed * 0x9E3779B1 + number * 0x85EBCA6B + 1) & 0xFFFFFFFF
    draw = ((draw ^ (draw >> 15)) * 0xC2B2AE35) & 0xFFFFFFFF
    return draw ^ (draw >> 13)


def course_id(number: int) -> int:
    """The id of a course."""
    return 101 + number


def course_type(number: int) -> str:
    """Seven courses in ten are e-learning."""
    return "elearning" if number % 10 < 7 else ("classroom", "webinar")[number % 2]


def group_uuid(number: int) -> str:
    """The id of a group."""
    return f"6f1c7a52-0000-4000-8000-{number:012}"


def plan_id(number: int) -> int:
    """The id of a learning plan."""
    return 7 + number


def user_id(number: int) -> str:
    """The id of a user, a text."""
    return str(13000 + number)


def without_nulls(record: Any) -> Any:
    """What is left of a record when it is printed: the Airbyte serializer drops null fields of the record itself."""
    return {name: value for name, value in record.items() if value is not None}


def _pages(size: int) -> int:
    return max(1, -(-size // PAGE_SIZE))


def _joined(parts: "list[List]") -> List:
    starts, total = [], 0
    for part in parts:
        starts.append(total)
        total += part.size

    def record(number: int) -> Record:
        position = bisect_right(starts, number) - 1
        return parts[position].record(number - starts[position])

    return List(total, record)
