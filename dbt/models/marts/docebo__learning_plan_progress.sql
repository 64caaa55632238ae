with enrollments as (

    select
        *,
        coalesce(valid_until, {{ docebo.end_of('valid_until_day') }}) as due_at,
        enrollment_status = 'completed' as is_completed
    from {{ ref('stg_docebo__learning_plan_enrollments') }}

),

plans as (

    select * from {{ ref('stg_docebo__learning_plans') }}

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

plan_courses as (

    select * from {{ ref('stg_docebo__learning_plan_courses') }}

),

contents as (

    select
        learning_plan_id,
        count(*) as courses,
        count(case when is_required then 1 end) as required_courses
    from plan_courses
    group by learning_plan_id

),

courses as (

    select
        taken.learning_plan_id,
        taken.user_id,
        count(*) as courses_enrolled,
        count(case when taken.enrollment_status = 'completed' then 1 end) as courses_completed,
        count(case when taken.enrollment_status = 'in_progress' then 1 end) as courses_in_progress,
        count(
            case when taken.enrollment_status = 'completed' and plan_courses.is_required then 1 end
        ) as required_courses_completed,
        max(taken.completed_at) as last_course_completed_at
    from {{ ref('stg_docebo__learning_plan_course_enrollments') }} as taken
    left join plan_courses
        on taken.learning_plan_id = plan_courses.learning_plan_id
        and taken.course_id = plan_courses.course_id
    group by taken.learning_plan_id, taken.user_id

),

judged as (

    select
        *,
        coalesce(enrollment_status, '') not in ('completed', 'waiting') and due_at < {{ docebo.now() }} as is_overdue
    from enrollments

)

select
    judged.learning_plan_id,
    judged.user_id,

    coalesce(plans.learning_plan_name, judged.learning_plan_name) as learning_plan_name,
    coalesce(plans.learning_plan_code, judged.learning_plan_code) as learning_plan_code,

    coalesce(users.username, judged.username) as username,
    users.fullname,
    users.email,
    users.user_status,
    managers.manager_user_id,
    managers.manager_username,
    managers.manager_name,
    branches.branch_id,
    branches.branch_path,

    judged.enrollment_status,
    judged.completion_percentage,
    coalesce(contents.courses, plans.assigned_courses_count) as courses_in_plan,
    contents.required_courses as required_courses_in_plan,
    coalesce(courses.courses_enrolled, 0) as courses_enrolled,
    coalesce(courses.courses_completed, 0) as courses_completed,
    coalesce(courses.courses_in_progress, 0) as courses_in_progress,
    case
        when contents.required_courses is not null then coalesce(courses.required_courses_completed, 0)
    end as required_courses_completed,
    courses.last_course_completed_at,
    judged.assignment_type,
    judged.enrolled_at,
    judged.enrolled_by_user_id,
    judged.enrolled_by_user_id = judged.user_id as is_self_enrolled,
    judged.due_at,
    judged.completed_at,
    coalesce(judged.is_completed, false) as is_completed,
    coalesce(judged.is_overdue, false) as is_overdue,
    case when judged.is_overdue then {{ docebo.days_between('judged.due_at', docebo.now()) }} end as days_overdue,
    case
        when judged.is_completed then {{ docebo.days_between('judged.enrolled_at', 'judged.completed_at') }}
    end as days_to_completion,
    judged.time_spent,
    judged.updated_at
from judged
left join contents on judged.learning_plan_id = contents.learning_plan_id
left join plans on judged.learning_plan_id = plans.learning_plan_id
left join users on judged.user_id = users.user_id
left join branches on judged.user_id = branches.user_id
left join managers on judged.user_id = managers.user_id
left join courses
    on judged.learning_plan_id = courses.learning_plan_id
    and judged.user_id = courses.user_id
