-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('learning_plans', key=['learning_plan_id'], columns={
        'learning_plan_id': 'integer',
        'uuid': 'text',
        'code': 'text',
        'title': 'text',
        'thumbnail_url': 'text',
        'price': 'text',
        'credits': 'number',
        'is_published': 'boolean',
        'is_publishable': 'boolean',
        'assigned_courses_count': 'integer',
        'assigned_enrollments_count': 'integer',
        'assigned_catalogs_count': 'integer',
        'assigned_channels_count': 'integer',
        'created_on': 'timestamp',
        'created_by': 'json',
        'updated_on': 'timestamp',
        'updated_by': 'json',
    }) }}

)

select
    learning_plan_id,
    uuid as learning_plan_uuid,
    code as learning_plan_code,
    title as learning_plan_name,
    thumbnail_url,
    price,
    credits,
    is_published,
    is_publishable,
    assigned_courses_count,
    assigned_enrollments_count,
    assigned_catalogs_count,
    assigned_channels_count,
    created_on as created_at,
    cast({{ docebo.json_text('created_by', 'id') }} as {{ docebo.type('integer') }}) as created_by_user_id,
    {{ docebo.json_text('created_by', 'fullname') }} as created_by_fullname,
    updated_on as updated_at,
    cast({{ docebo.json_text('updated_by', 'id') }} as {{ docebo.type('integer') }}) as updated_by_user_id,
    {{ docebo.json_text('updated_by', 'fullname') }} as updated_by_fullname,
    _airbyte_extracted_at
from source
