-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('branches', key=['id'], columns={
        'id': 'integer',
        'code': 'text',
        'title': 'text',
        'lev': 'integer',
        'iLeft': 'integer',
        'iRight': 'integer',
        'parent_id': 'integer',
        'parent_code': 'text',
        'path_ids': 'json',
        'selectable': 'integer',
        'selected': 'integer',
        'has_children': 'boolean',
        'actions': 'json',
    }) }}

)

select
    id as branch_id,
    code as branch_code,
    title as branch_name,
    lev as level,
    ileft as i_left,
    iright as i_right,
    parent_id as parent_branch_id,
    parent_code as parent_branch_code,
    path_ids,
    selectable <> 0 as selectable,
    selected <> 0 as selected,
    has_children,
    actions,
    _airbyte_extracted_at
from source
