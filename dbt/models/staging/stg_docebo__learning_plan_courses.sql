-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('learning_plan_courses', key=['learning_plan_id', 'id_course'], columns={
        'learning_plan_id': 'integer',
        'id_course': 'integer',
        'uid': 'text',
        'code': 'text',
        'title': 'text',
        'type': 'text',
        'language': 'json',
        'create_date': 'timestamp',
        'is_published': 'boolean',
        'is_required': 'boolean',
        'sequence': 'integer',
        'category': 'json',
        'prerequisites_count': 'integer',
        'prerequisites_completion': 'json',
    }) }}

)

select
    learning_plan_id,
    id_course as course_id,
    uid as course_uid,
    code as course_code,
    title as course_name,
    type as course_type,
    {{ docebo.json_text('language', 'code') }} as language_code,
    {{ docebo.json_text('language', 'name') }} as language_name,
    {{ docebo.json_text('language', 'browser_code') }} as language_browser_code,
    create_date as created_at,
    is_published,
    is_required,
    sequence,
    category,
    prerequisites_count,
    prerequisites_completion,
    _airbyte_extracted_at
from source
