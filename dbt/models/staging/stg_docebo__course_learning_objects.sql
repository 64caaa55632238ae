-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('course_learning_objects', key=['course_id', 'id_org'], columns={
        'course_id': 'integer',
        'id_org': 'integer',
        'item_id': 'text',
        'id_resource': 'text',
        'id_parent': 'integer',
        'title': 'text',
        'object_type': 'text',
        'status': 'text',
    }) }}

)

select
    course_id,
    id_org as learning_object_id,
    item_id,
    id_resource as resource_id,
    id_parent as parent_learning_object_id,
    title,
    object_type,
    status,
    _airbyte_extracted_at
from source
