with recursive parents as (

    select * from {{ ref('int_docebo__branch_parents') }}

),

-- Each branch with itself and the branches above it. Bounds and parents that contradict each other end after 100 levels.
ancestors as (

    select
        branch_id,
        branch_id as ancestor_id,
        parent_branch_id as next_id,
        0 as distance
    from parents

    union all

    select
        ancestors.branch_id,
        parents.branch_id as ancestor_id,
        parents.parent_branch_id as next_id,
        ancestors.distance + 1 as distance
    from ancestors
    inner join parents on ancestors.next_id = parents.branch_id
    where ancestors.distance < 100

),

branches as (

    select * from {{ ref('stg_docebo__branches') }}

),

paths as (

    select
        ancestors.branch_id,
        {{ docebo.joined("coalesce(branches.branch_name, branches.branch_code, '?')", ' / ', 'ancestors.distance desc') }} as branch_path,
        max(ancestors.distance) + 1 as depth
    from ancestors
    inner join branches on ancestors.ancestor_id = branches.branch_id
    group by ancestors.branch_id

),

members as (

    select * from {{ ref('stg_docebo__branch_members') }}

),

direct as (

    select
        branch_id,
        count(*) as members
    from members
    group by branch_id

),

with_below as (

    select
        ancestors.ancestor_id as branch_id,
        count(distinct members.user_id) as members
    from ancestors
    inner join members on ancestors.branch_id = members.branch_id
    group by ancestors.ancestor_id

),

below as (

    select
        ancestor_id as branch_id,
        count(*) - 1 as branches
    from ancestors
    group by ancestor_id

)

select
    branches.branch_id,
    branches.branch_code,
    branches.branch_name,
    parents.parent_branch_id,
    paths.branch_path,
    paths.depth,
    below.branches as branches_below,
    coalesce(direct.members, 0) as members,
    coalesce(with_below.members, 0) as members_with_below,
    branches._airbyte_extracted_at
from branches
left join parents on branches.branch_id = parents.branch_id
left join paths on branches.branch_id = paths.branch_id
left join below on branches.branch_id = below.branch_id
left join direct on branches.branch_id = direct.branch_id
left join with_below on branches.branch_id = with_below.branch_id
