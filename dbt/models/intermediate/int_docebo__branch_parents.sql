-- Each branch with its parent: the one that Docebo names, or else the nearest branch around its bounds.
with branches as (

    select * from {{ ref('stg_docebo__branches') }}

),

around as (

    select
        branches.branch_id,
        above.branch_id as above_id,
        row_number() over (partition by branches.branch_id order by above.i_left desc) as distance
    from branches
    inner join branches as above
        on above.i_left < branches.i_left
        and above.i_right > branches.i_right

)

select
    branches.branch_id,
    coalesce(branches.parent_branch_id, around.above_id) as parent_branch_id
from branches
left join around
    on branches.branch_id = around.branch_id
    and around.distance = 1
