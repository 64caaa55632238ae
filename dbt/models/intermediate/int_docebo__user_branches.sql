-- Each user in a branch, with all branches and the main one: that furthest down the tree.
with members as (

    select
        members.user_id,
        branches.branch_id,
        branches.branch_path,
        row_number() over (
            partition by members.user_id
            order by branches.depth desc, branches.branch_path, branches.branch_id
        ) as place
    from {{ ref('stg_docebo__branch_members') }} as members
    inner join {{ ref('docebo__branches') }} as branches
        on members.branch_id = branches.branch_id

)

select
    user_id,
    max(case when place = 1 then branch_id end) as branch_id,
    max(case when place = 1 then branch_path end) as branch_path,
    count(*) as branch_count,
    {{ docebo.joined('branch_path', '; ', 'place') }} as branch_paths
from members
group by user_id
