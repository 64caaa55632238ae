-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('session_enrollments', key=['session_id', 'user_id'], columns={
        'session_id': 'integer',
        'user_id': 'integer',
        'username': 'text',
        'email': 'text',
        'enrollment_date': 'timestamp',
        'completion_date': 'timestamp',
        'status': 'text',
        'status_id': 'text',
        'user_status': 'text',
    }) }}

)

select
    session_id,
    user_id,
    lower(trim(username)) as username,
    lower(trim(email)) as email,
    enrollment_date as enrolled_at,
    completion_date as completed_at,
    lower(status) as enrollment_status,
    status_id as enrollment_status_id,
    user_status as user_status_code,
    _airbyte_extracted_at
from source
