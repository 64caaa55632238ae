-- The enrollments in courses, from the stream that the variable docebo_enrollments_from names.
{% if var('docebo_enrollments_from', 'course_enrollments') == 'enrollments' -%}

select
    course_id,
    user_id,
    username,
    item_name as course_name,
    cast(null as {{ docebo.type('text') }}) as course_code,
    item_type as course_type,
    enrollment_level,
    case when waiting then 'waiting' else enrollment_status end as enrollment_status,
    cast(null as {{ docebo.type('text') }}) as assignment_type,
    enrolled_at,
    enrolled_by_user_id,
    valid_from,
    valid_until as due_at,
    completed_at,
    score,
    time_spent,
    updated_at
from {{ ref('stg_docebo__enrollments') }}
where course_id is not null

{%- else -%}

select
    course_id,
    user_id,
    username,
    course_name,
    course_code,
    course_type,
    enrollment_level,
    enrollment_status,
    assignment_type,
    enrolled_at,
    enrolled_by_user_id,
    coalesce(valid_from, cast(valid_from_day as {{ docebo.type('timestamp') }})) as valid_from,
    coalesce(valid_until, {{ docebo.end_of('valid_until_day') }}) as due_at,
    completed_at,
    score,
    time_spent,
    updated_at
from {{ ref('stg_docebo__course_enrollments') }}

{%- endif %}
