{#
    The newest version of each record of a stream, with the declared columns: in lower case, typed, and null where the
    table lacks them. A date that Docebo holds as an invalid one, which is the epoch, is null. Without a table for the
    stream, there are no rows.

    stream: name of the stream. key: its primary key. columns: the type of each declared column.
    additional_fields: whether the columns field_<id> come, too.
#}
{% macro read_stream(stream, key, columns, additional_fields=false) %}
    {%- set table = docebo.synced_table(stream) -%}
    {%- set held = docebo.columns_of(table) -%}
    select
    {%- for name, type in columns.items() %}
        {% if name | lower in held -%}
            {{ docebo.typed(held[name | lower], type) }}
        {%- else -%}
            cast(null as {{ docebo.type(type) }})
        {%- endif %} as {{ name | lower }},
    {%- endfor %}
    {%- for name in held if additional_fields and modules.re.fullmatch('field_[0-9]+', name) %}
        {{ docebo.typed(held[name], 'text') }} as {{ name }},
    {%- endfor %}
        {% if '_airbyte_extracted_at' in held -%}
            {{ docebo.utc(held['_airbyte_extracted_at']) }}
        {%- else -%}
            cast(null as {{ docebo.type('timestamp') }})
        {%- endif %} as _airbyte_extracted_at
    {%- if table is none %}
    from (select 1 as nothing) as no_table
    where 1 = 0
    {%- else %}
    from (
        select
            *,
            row_number() over (
                partition by {% for name in key %}{{ held[name | lower].quoted }}{% if not loop.last %}, {% endif %}{% endfor %}
                {%- if '_airbyte_extracted_at' in held %}
                order by {{ held['_airbyte_extracted_at'].quoted }} desc
                {%- else %}
                order by {{ held[key[0] | lower].quoted }}
                {%- endif %}
            ) as version_number
        from {{ table }}
    ) as versions
    where version_number = 1
    {%- endif %}
{%- endmacro %}


{# The table of a stream, or none if it is not synced. #}
{% macro synced_table(stream) %}
    {%- set table = source('docebo', stream) -%}
    {%- if not execute or stream in var('docebo_streams_not_synced', []) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(load_relation(table)) }}
{% endmacro %}


{# The columns of a table by their names in lower case, each with its quoted name and its type. #}
{% macro columns_of(table) %}
    {%- set held = {} -%}
    {%- if table is not none -%}
        {%- for column in adapter.get_columns_in_relation(table) -%}
            {%- do held.update({column.name | lower: {'quoted': adapter.quote(column.name), 'type': column.dtype | lower}}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(held) }}
{% endmacro %}


{# A column as a type of staging: boolean, integer, json, number, text or timestamp. The epoch becomes null. #}
{% macro typed(column, type) %}
    {%- if type == 'timestamp' -%}
        nullif({{ docebo.utc(column) }}, {{ docebo.epoch() }})
    {%- elif type == 'json' -%}
        {{ docebo.json(column) }}
    {%- else -%}
        cast({{ column.quoted }} as {{ docebo.type(type) }})
    {%- endif -%}
{% endmacro %}


{# A text such as "1" or "true" as a boolean. #}
{% macro flag(column) -%}
    case when lower({{ column }}) in ('1', 'true') then true when lower({{ column }}) in ('0', 'false') then false end
{%- endmacro %}
