-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('external_training', key=['training_id'], columns={
        'training_id': 'integer',
        'user_id': 'integer',
        'title': 'text',
        'course_code': 'text',
        'ceus': 'text',
        'score': 'number',
        'from_date': 'timestamp',
        'to_date': 'timestamp',
        'training_institute': 'text',
        'training_institute_code': 'text',
        'uuid': 'text',
        'additional_fields': 'json',
    }) }}

)

select
    training_id,
    user_id,
    title as training_name,
    course_code,
    ceus,
    score,
    from_date as starts_at,
    to_date as ends_at,
    training_institute,
    training_institute_code,
    uuid,
    additional_fields,
    _airbyte_extracted_at
from source
