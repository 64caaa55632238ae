with users as (

    select * from {{ ref('stg_docebo__users') }}

),

branches as (

    select * from {{ ref('int_docebo__user_branches') }}

),

managers as (

    select * from {{ ref('int_docebo__user_managers') }}

),

memberships as (

    select
        user_id,
        count(*) as group_count
    from {{ ref('stg_docebo__group_members') }}
    group by user_id

),

enrollments as (

    select
        user_id,
        count(*) as courses_enrolled,
        count(case when is_completed then 1 end) as courses_completed,
        count(case when enrollment_status = 'in_progress' then 1 end) as courses_in_progress,
        count(case when is_overdue then 1 end) as courses_overdue,
        max(completed_at) as last_completed_at
    from {{ ref('docebo__enrollments') }}
    group by user_id

),

plans as (

    select
        user_id,
        count(*) as learning_plans_enrolled,
        count(case when is_completed then 1 end) as learning_plans_completed
    from {{ ref('docebo__learning_plan_progress') }}
    group by user_id

),

trainings as (

    select
        user_id,
        count(*) as external_trainings
    from {{ ref('stg_docebo__external_training') }}
    group by user_id

)

select
    users.user_id,
    users.username,
    users.email,
    users.first_name,
    users.last_name,
    users.fullname,
    users.user_status,
    users.user_level,
    users.is_manager,
    users.active_subordinates_count,
    users.language,
    users.country,
    users.timezone,
    users.created_at,
    users.expires_at,
    users.last_access_at,
    {{ docebo.days_between('users.last_access_at', docebo.now()) }} as days_since_last_access,
    branches.branch_id,
    branches.branch_path,
    branches.branch_paths,
    coalesce(branches.branch_count, 0) as branch_count,
    managers.manager_user_id,
    managers.manager_username,
    managers.manager_name,
    managers.manager_usernames,
    coalesce(memberships.group_count, 0) as group_count,
    coalesce(enrollments.courses_enrolled, 0) as courses_enrolled,
    coalesce(enrollments.courses_completed, 0) as courses_completed,
    coalesce(enrollments.courses_in_progress, 0) as courses_in_progress,
    coalesce(enrollments.courses_overdue, 0) as courses_overdue,
    cast(enrollments.courses_completed as {{ docebo.type('number') }}) / enrollments.courses_enrolled as completion_rate,
    enrollments.last_completed_at,
    coalesce(plans.learning_plans_enrolled, 0) as learning_plans_enrolled,
    coalesce(plans.learning_plans_completed, 0) as learning_plans_completed,
    coalesce(trainings.external_trainings, 0) as external_trainings
    {{ docebo.additional_field_names('users', 'users') }}
from users
left join branches on users.user_id = branches.user_id
left join managers on users.user_id = managers.user_id
left join memberships on users.user_id = memberships.user_id
left join enrollments on users.user_id = enrollments.user_id
left join plans on users.user_id = plans.user_id
left join trainings on users.user_id = trainings.user_id
