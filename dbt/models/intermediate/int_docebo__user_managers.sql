-- Each user who has managers, with all of them and the first: Docebo's type 1 is the direct manager.
with listed as (

    select
        users.user_id,
        lower(trim({{ docebo.json_text('element.value', 'manager_username') }})) as manager_username,
        min(cast({{ docebo.json_text('element.value', 'manager_type_id') }} as {{ docebo.type('integer') }})) as type_id
    from {{ ref('stg_docebo__users') }} as users
    cross join {{ docebo.json_elements('users.managers') }}
    where {{ docebo.json_text('element.value', 'manager_username') }} is not null
    group by 1, 2

),

managers as (

    select
        listed.user_id,
        listed.manager_username,
        people.user_id as manager_user_id,
        people.fullname as manager_name,
        row_number() over (
            partition by listed.user_id
            order by coalesce(listed.type_id, 999), listed.manager_username, people.user_id
        ) as place
    from listed
    left join {{ ref('stg_docebo__users') }} as people
        on listed.manager_username = people.username

)

select
    user_id,
    max(case when place = 1 then manager_user_id end) as manager_user_id,
    max(case when place = 1 then manager_username end) as manager_username,
    max(case when place = 1 then manager_name end) as manager_name,
    {{ docebo.joined('manager_username', '; ', 'place') }} as manager_usernames
from managers
group by user_id
