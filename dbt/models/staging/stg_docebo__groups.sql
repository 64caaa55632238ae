-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('groups', key=['uuid'], columns={
        'uuid': 'text',
        'name': 'text',
        'description': 'text',
        'slug': 'text',
        'type': 'text',
        'exclude_deactivated_users': 'boolean',
        'ruleset': 'json',
        'created_by': 'integer',
        'updated_by': 'integer',
        'updated_at': 'timestamp',
        'labels': 'json',
    }) }}

)

select
    uuid as group_uuid,
    name as group_name,
    description,
    slug,
    type as group_type,
    exclude_deactivated_users,
    ruleset,
    created_by as created_by_user_id,
    updated_by as updated_by_user_id,
    updated_at,
    labels,
    _airbyte_extracted_at
from source
