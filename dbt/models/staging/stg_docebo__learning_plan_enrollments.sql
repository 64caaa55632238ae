-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('learning_plan_enrollments', key=['learning_plan_id', 'user_id'], columns={
        'learning_plan_id': 'integer',
        'user_id': 'integer',
        'username': 'text',
        'learning_plan_code': 'text',
        'learning_plan_name': 'text',
        'assignment_type': 'text',
        'enrollment_created_at': 'timestamp',
        'enrollment_created_by': 'integer',
        'enrollment_date_last_updated': 'timestamp',
        'enrollment_validity_begin_date': 'timestamp',
        'enrollment_validity_begin_datetime': 'timestamp',
        'enrollment_validity_end_date': 'timestamp',
        'enrollment_validity_end_datetime': 'timestamp',
        'enrollment_status': 'text',
        'enrollment_completion_date': 'timestamp',
        'enrollment_completion_percentage': 'number',
        'enrollment_time_spent': 'number',
    }) }}

)

select
    learning_plan_id,
    user_id,
    lower(trim(username)) as username,
    learning_plan_code,
    learning_plan_name,
    assignment_type,
    enrollment_created_at as enrolled_at,
    enrollment_created_by as enrolled_by_user_id,
    enrollment_date_last_updated as updated_at,
    cast(enrollment_validity_begin_date as date) as valid_from_day,
    enrollment_validity_begin_datetime as valid_from,
    cast(enrollment_validity_end_date as date) as valid_until_day,
    enrollment_validity_end_datetime as valid_until,
    lower(enrollment_status) as enrollment_status,
    enrollment_completion_date as completed_at,
    enrollment_completion_percentage as completion_percentage,
    enrollment_time_spent as time_spent,
    _airbyte_extracted_at
from source
