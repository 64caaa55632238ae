with courses as (

    select * from {{ ref('stg_docebo__courses') }}

),

categories as (

    select * from {{ ref('stg_docebo__categories') }}

),

details as (

    select * from {{ ref('stg_docebo__course_details') }}

),

enrollments as (

    select
        course_id,
        count(*) as enrolled,
        count(case when is_completed then 1 end) as completed,
        count(case when enrollment_status = 'in_progress' then 1 end) as in_progress,
        count(case when enrollment_status = 'waiting' then 1 end) as waiting,
        count(case when is_overdue then 1 end) as overdue,
        avg(score) as average_score,
        avg(cast(days_to_completion as {{ docebo.type('number') }})) as average_days_to_completion
    from {{ ref('docebo__enrollments') }}
    group by course_id

),

sessions as (

    select
        course_id,
        count(*) as sessions
    from {{ ref('stg_docebo__sessions') }}
    group by course_id

),

learning_objects as (

    select
        course_id,
        count(*) as learning_objects
    from {{ ref('stg_docebo__course_learning_objects') }}
    group by course_id

)

select
    courses.course_id,
    courses.course_name,
    courses.course_code,
    courses.course_uid,
    courses.course_type,
    courses.category_id,
    coalesce(categories.category_name, courses.category_name) as category_name,
    courses.language,
    details.course_status,
    details.published as is_published,
    details.created_at,
    courses.updated_at,
    courses.starts_at,
    courses.ends_at,
    courses.duration,
    courses.credits,
    coalesce(enrollments.enrolled, 0) as enrolled,
    coalesce(enrollments.completed, 0) as completed,
    coalesce(enrollments.in_progress, 0) as in_progress,
    coalesce(enrollments.waiting, 0) as waiting,
    coalesce(enrollments.overdue, 0) as overdue,
    cast(enrollments.completed as {{ docebo.type('number') }}) / enrollments.enrolled as completion_rate,
    enrollments.average_score,
    enrollments.average_days_to_completion,
    coalesce(sessions.sessions, 0) as sessions,
    coalesce(learning_objects.learning_objects, 0) as learning_objects
    {{ docebo.additional_field_names('course_details', 'details') }}
from courses
left join categories on courses.category_id = categories.category_id
left join details on courses.course_id = details.course_id
left join enrollments on courses.course_id = enrollments.course_id
left join sessions on courses.course_id = sessions.course_id
left join learning_objects on courses.course_id = learning_objects.course_id
