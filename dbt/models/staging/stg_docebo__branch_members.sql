-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('branch_members', key=['branch_id', 'user_id'], columns={
        'branch_id': 'integer',
        'user_id': 'integer',
        'username': 'text',
    }) }}

)

select
    branch_id,
    user_id,
    lower(trim(username)) as username,
    _airbyte_extracted_at
from source
