-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('sessions', key=['id'], columns={
        'id': 'integer',
        'course_id': 'integer',
        'code': 'text',
        'name': 'text',
        'date_start': 'timestamp',
        'date_end': 'timestamp',
        'hours': 'text',
        'events': 'text',
        'events_with_sync_failed': 'text',
        'instructors': 'text',
        'instructors_emails_number': 'integer',
        'waiting': 'text',
        'enrolled': 'text',
        'max_enroll': 'text',
        'created_by': 'text',
        'uid_session': 'text',
        'externally_managed': 'boolean',
        'additional_fields': 'json',
        'attendance_details': 'json',
        'location': 'json',
        'attendance_type': 'text',
    }) }}

)

select
    id as session_id,
    course_id,
    code as session_code,
    name as session_name,
    date_start as starts_at,
    date_end as ends_at,
    hours,
    events,
    events_with_sync_failed,
    instructors,
    instructors_emails_number,
    waiting,
    enrolled,
    max_enroll,
    created_by,
    uid_session as session_uid,
    externally_managed,
    additional_fields,
    cast({{ docebo.json_text('attendance_details', 'onsite') }} as {{ docebo.type('integer') }}) as attendance_details_onsite,
    cast({{ docebo.json_text('attendance_details', 'online') }} as {{ docebo.type('integer') }}) as attendance_details_online,
    cast({{ docebo.json_text('attendance_details', 'flexible') }} as {{ docebo.type('integer') }}) as attendance_details_flexible,
    location,
    attendance_type,
    _airbyte_extracted_at
from source
