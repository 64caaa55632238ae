-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('group_members', key=['group_uuid', 'user_id'], columns={
        'group_uuid': 'text',
        'user_id': 'integer',
        'username': 'text',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'relation_type': 'text',
    }) }}

)

select
    group_uuid,
    user_id,
    lower(trim(username)) as username,
    first_name,
    last_name,
    lower(trim(email)) as email,
    relation_type,
    _airbyte_extracted_at
from source
