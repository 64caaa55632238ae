-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('session_events', key=['session_id', 'id'], columns={
        'session_id': 'integer',
        'id': 'integer',
        'name': 'text',
        'day': 'timestamp',
        'time_begin': 'text',
        'time_end': 'text',
        'timezone': 'text',
        'duration': 'text',
        'effective_duration': 'text',
        'location_id': 'integer',
        'classroom_id': 'integer',
        'webinar_tool': 'text',
        'url': 'text',
        'has_recording': 'boolean',
        'instructors': 'json',
    }) }}

)

select
    session_id,
    id as event_id,
    name as event_name,
    cast(day as date) as day,
    time_begin,
    time_end,
    timezone,
    duration,
    effective_duration,
    location_id,
    classroom_id,
    webinar_tool,
    url,
    has_recording,
    instructors,
    _airbyte_extracted_at
from source
