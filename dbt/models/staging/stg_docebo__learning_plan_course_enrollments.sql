-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('learning_plan_course_enrollments', key=['learning_plan_id', 'course_id', 'user_id'], columns={
        'learning_plan_id': 'integer',
        'course_id': 'integer',
        'user_id': 'integer',
        'course_code': 'text',
        'course_name': 'text',
        'enrollment_level': 'text',
        'enrollment_status': 'text',
        'enrollment_completion_date': 'timestamp',
        'enrollment_created_at': 'timestamp',
        'username': 'text',
        'enrollment_created_by': 'integer',
        'enrollment_date_last_updated': 'timestamp',
        'enrollment_score': 'number',
        'enrollment_validity_begin_date': 'timestamp',
        'enrollment_validity_begin_datetime': 'timestamp',
        'enrollment_validity_end_date': 'timestamp',
        'enrollment_validity_end_datetime': 'timestamp',
        'enrollment_time_spent': 'number',
        'assignment_type': 'text',
    }) }}

)

select
    learning_plan_id,
    course_id,
    user_id,
    course_code,
    course_name,
    lower(enrollment_level) as enrollment_level,
    lower(enrollment_status) as enrollment_status,
    enrollment_completion_date as completed_at,
    enrollment_created_at as enrolled_at,
    lower(trim(username)) as username,
    enrollment_created_by as enrolled_by_user_id,
    enrollment_date_last_updated as updated_at,
    enrollment_score as score,
    cast(enrollment_validity_begin_date as date) as valid_from_day,
    enrollment_validity_begin_datetime as valid_from,
    cast(enrollment_validity_end_date as date) as valid_until_day,
    enrollment_validity_end_datetime as valid_until,
    enrollment_time_spent as time_spent,
    assignment_type,
    _airbyte_extracted_at
from source
