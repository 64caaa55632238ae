{#
    Each value is found in the other model. It warns, since a platform keeps records of users and courses that it has
    deleted. Another model without rows is taken for that of a stream that is not synced.
#}
{% test joins(model, column_name, to, field) %}

{{ config(severity='warn') }}

select child.{{ column_name }}
from {{ model }} as child
left join {{ to }} as parent on child.{{ column_name }} = parent.{{ field }}
where child.{{ column_name }} is not null
    and parent.{{ field }} is null
    and exists (select 1 from {{ to }})

{% endtest %}
