with enrollments as (

    select * from {{ ref('int_docebo__course_enrollments') }}

),

courses as (

    select * from {{ ref('stg_docebo__courses') }}

),

categories as (

    select * from {{ ref('stg_docebo__categories') }}

),

users as (

    select * from {{ ref('stg_docebo__users') }}

),

branches as (

    select * from {{ ref('int_docebo__user_branches') }}

),

managers as (

    select * from {{ ref('int_docebo__user_managers') }}

),

judged as (

    select
        *,
        enrollment_status = 'completed' as is_completed,
        coalesce(enrollment_status, '') not in ('completed', 'waiting') and due_at < {{ docebo.now() }} as is_overdue
    from enrollments

)

select
    judged.course_id,
    judged.user_id,

    coalesce(courses.course_name, judged.course_name) as course_name,
    coalesce(courses.course_code, judged.course_code) as course_code,
    coalesce(courses.course_type, judged.course_type) as course_type,
    courses.category_id,
    coalesce(categories.category_name, courses.category_name) as category_name,

    coalesce(users.username, judged.username) as username,
    users.fullname,
    users.email,
    users.user_status,
    managers.manager_user_id,
    managers.manager_username,
    managers.manager_name,
    branches.branch_id,
    branches.branch_path,

    judged.enrollment_level,
    judged.enrollment_status,
    judged.assignment_type,
    judged.enrolled_at,
    judged.enrolled_by_user_id,
    judged.enrolled_by_user_id = judged.user_id as is_self_enrolled,
    judged.valid_from,
    judged.due_at,
    judged.completed_at,
    coalesce(judged.is_completed, false) as is_completed,
    coalesce(judged.is_overdue, false) as is_overdue,
    case when judged.is_overdue then {{ docebo.days_between('judged.due_at', docebo.now()) }} end as days_overdue,
    case
        when judged.is_completed then {{ docebo.days_between('judged.enrolled_at', 'judged.completed_at') }}
    end as days_to_completion,
    judged.score,
    judged.time_spent,
    judged.updated_at
from judged
left join courses on judged.course_id = courses.course_id
left join categories on courses.category_id = categories.category_id
left join users on judged.user_id = users.user_id
left join branches on judged.user_id = branches.user_id
left join managers on judged.user_id = managers.user_id
