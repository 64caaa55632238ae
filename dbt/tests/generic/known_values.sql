{# Each value is one of those that are known. It warns, since a platform may have more. #}
{% test known_values(model, column_name, values) %}

{{ config(severity='warn') }}

select
    {{ column_name }},
    count(*) as number_of_rows
from {{ model }}
where {{ column_name }} not in ({% for value in values %}'{{ value }}'{% if not loop.last %}, {% endif %}{% endfor %})
group by {{ column_name }}

{% endtest %}
