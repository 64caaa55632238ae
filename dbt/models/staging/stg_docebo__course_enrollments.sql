-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('course_enrollments', key=['course_id', 'user_id'], columns={
        'course_id': 'integer',
        'user_id': 'integer',
        'username': 'text',
        'course_name': 'text',
        'course_code': 'text',
        'course_uid': 'text',
        'course_type': 'text',
        'enrollment_level': 'text',
        'enrollment_status': 'text',
        'enrollment_created_at': 'timestamp',
        'enrollment_created_by': 'integer',
        'enrollment_date_last_updated': 'timestamp',
        'enrollment_completion_date': 'timestamp',
        'enrollment_score': 'number',
        'enrollment_validity_begin_date': 'timestamp',
        'enrollment_validity_begin_datetime': 'timestamp',
        'enrollment_validity_end_date': 'timestamp',
        'enrollment_validity_end_datetime': 'timestamp',
        'assignment_type': 'text',
        'enrollment_time_spent': 'number',
    }) }}

)

select
    course_id,
    user_id,
    lower(trim(username)) as username,
    course_name,
    course_code,
    course_uid,
    course_type,
    lower(enrollment_level) as enrollment_level,
    lower(enrollment_status) as enrollment_status,
    enrollment_created_at as enrolled_at,
    enrollment_created_by as enrolled_by_user_id,
    enrollment_date_last_updated as updated_at,
    enrollment_completion_date as completed_at,
    enrollment_score as score,
    cast(enrollment_validity_begin_date as date) as valid_from_day,
    enrollment_validity_begin_datetime as valid_from,
    cast(enrollment_validity_end_date as date) as valid_until_day,
    enrollment_validity_end_datetime as valid_until,
    assignment_type,
    enrollment_time_spent as time_spent,
    _airbyte_extracted_at
from source
