-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('categories', key=['id'], columns={
        'id': 'integer',
        'code': 'text',
        'title': 'text',
        'title_parent': 'text',
        'has_child': 'boolean',
        'lev': 'integer',
        'iLeft': 'integer',
        'iRight': 'integer',
        'icon': 'text',
    }) }}

)

select
    id as category_id,
    code as category_code,
    title as category_name,
    title_parent as parent_category_name,
    has_child,
    lev as level,
    ileft as i_left,
    iright as i_right,
    icon,
    _airbyte_extracted_at
from source
