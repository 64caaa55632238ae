{#
    What databases spell differently. Each macro has a version for DuckDB, PostgreSQL, Snowflake and BigQuery. Those for
    Snowflake and BigQuery have not been run: their SQL is parsed by the project's tests.
#}

{# The database's name of a type: boolean, date, integer, json, number, text or timestamp (without time zone, in UTC). #}
{% macro type(name) %}{{ return(adapter.dispatch('type', 'docebo')(name)) }}{% endmacro %}

{% macro default__type(name) %}
    {{ return({'integer': 'bigint', 'json': 'jsonb', 'number': 'double precision', 'text': 'text'}.get(name, name)) }}
{% endmacro %}

{% macro duckdb__type(name) %}
    {{ return({'integer': 'bigint', 'number': 'double', 'text': 'varchar'}.get(name, name)) }}
{% endmacro %}

{% macro snowflake__type(name) %}
    {{ return({'json': 'variant', 'number': 'double', 'text': 'varchar', 'timestamp': 'timestamp_ntz'}.get(name, name)) }}
{% endmacro %}

{% macro bigquery__type(name) %}
    {{ return({'boolean': 'bool', 'integer': 'int64', 'number': 'float64', 'text': 'string'}.get(name, name)) }}
{% endmacro %}


{# A date column, with or without time zone, or a date as text, as a timestamp in UTC. #}
{% macro utc(column) %}{{ return(adapter.dispatch('utc', 'docebo')(column)) }}{% endmacro %}

{% macro default__utc(column) -%}
    {%- if column.type in ('timestamp', 'timestamp without time zone', 'date') -%}
        cast({{ column.quoted }} as timestamp)
    {%- else -%}
        cast({{ column.quoted }} as timestamp with time zone) at time zone 'UTC'
    {%- endif -%}
{%- endmacro %}

{% macro snowflake__utc(column) -%}
    {%- if column.type.startswith('timestamp_ntz') or column.type == 'date' -%}
        cast({{ column.quoted }} as timestamp_ntz)
    {%- else -%}
        cast(convert_timezone('UTC', cast({{ column.quoted }} as timestamp_tz)) as timestamp_ntz)
    {%- endif -%}
{%- endmacro %}

{% macro bigquery__utc(column) -%}
    cast({{ column.quoted }} as timestamp)
{%- endmacro %}


{# What an invalid date is in the tables. #}
{% macro epoch() -%}
    cast('1970-01-01 00:00:00' as {{ docebo.type('timestamp') }})
{%- endmacro %}


{# The current moment in UTC, or that of the variable docebo_now. #}
{% macro now() -%}
    {%- if var('docebo_now', none) -%}
        cast('{{ var("docebo_now") }}' as {{ docebo.type('timestamp') }})
    {%- else -%}
        {{ return(adapter.dispatch('now', 'docebo')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__now() %}cast(current_timestamp at time zone 'UTC' as timestamp){% endmacro %}

{% macro snowflake__now() %}cast(sysdate() as timestamp_ntz){% endmacro %}

{% macro bigquery__now() %}current_timestamp(){% endmacro %}


{# How many days of the calendar the second moment lies after the first. #}
{% macro days_between(first, second) %}{{ return(adapter.dispatch('days_between', 'docebo')(first, second)) }}{% endmacro %}

{% macro default__days_between(first, second) %}(cast({{ second }} as date) - cast({{ first }} as date)){% endmacro %}

{% macro snowflake__days_between(first, second) %}datediff('day', {{ first }}, {{ second }}){% endmacro %}

{% macro bigquery__days_between(first, second) -%}
    date_diff(cast({{ second }} as date), cast({{ first }} as date), day)
{%- endmacro %}


{# The moment at which a day ends. #}
{% macro end_of(day) %}{{ return(adapter.dispatch('end_of', 'docebo')(day)) }}{% endmacro %}

{% macro default__end_of(day) %}(cast({{ day }} as timestamp) + interval '1 day'){% endmacro %}

{% macro snowflake__end_of(day) %}dateadd('day', 1, cast({{ day }} as timestamp_ntz)){% endmacro %}

{% macro bigquery__end_of(day) %}timestamp_add(cast({{ day }} as timestamp), interval 1 day){% endmacro %}


{# A column that holds JSON, or JSON as text, as the database's type for JSON. #}
{% macro json(column) %}{{ return(adapter.dispatch('json', 'docebo')(column)) }}{% endmacro %}

{% macro default__json(column) %}cast({{ column.quoted }} as {{ docebo.type('json') }}){% endmacro %}

{% macro snowflake__json(column) -%}
    {%- if column.type.startswith(('text', 'varchar', 'character')) -%}
        try_parse_json({{ column.quoted }})
    {%- else -%}
        to_variant({{ column.quoted }})
    {%- endif -%}
{%- endmacro %}

{% macro bigquery__json(column) -%}
    {%- if column.type == 'string' -%}
        parse_json({{ column.quoted }}, wide_number_mode => 'round')
    {%- else -%}
        {{ column.quoted }}
    {%- endif -%}
{%- endmacro %}


{# A property of an object, as text. #}
{% macro json_text(object, name) %}{{ return(adapter.dispatch('json_text', 'docebo')(object, name)) }}{% endmacro %}

{% macro default__json_text(object, name) %}({{ object }} ->> '{{ name }}'){% endmacro %}

{% macro snowflake__json_text(object, name) %}cast(get_path({{ object }}, '{{ name }}') as varchar){% endmacro %}

{% macro bigquery__json_text(object, name) %}json_value({{ object }}, '$.{{ name }}'){% endmacro %}


{# For a cross join: the elements of an array, each as `element.value`. #}
{% macro json_elements(array) %}{{ return(adapter.dispatch('json_elements', 'docebo')(array)) }}{% endmacro %}

{% macro default__json_elements(array) -%}
    lateral jsonb_array_elements(case when jsonb_typeof({{ array }}) = 'array' then {{ array }} end) as element (value)
{%- endmacro %}

{% macro duckdb__json_elements(array) -%}
    (select unnest(from_json({{ array }}, '["json"]')) as value) as element
{%- endmacro %}

{% macro snowflake__json_elements(array) %}lateral flatten(input => {{ array }}) as element{% endmacro %}

{% macro bigquery__json_elements(array) -%}
    (select value from unnest(json_query_array({{ array }})) as value) as element
{%- endmacro %}


{# The texts of a group in one, in the order of another column. #}
{% macro joined(text, separator, order_by) %}{{ return(adapter.dispatch('joined', 'docebo')(text, separator, order_by)) }}{% endmacro %}

{% macro default__joined(text, separator, order_by) -%}
    string_agg({{ text }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}

{% macro snowflake__joined(text, separator, order_by) -%}
    listagg({{ text }}, '{{ separator }}') within group (order by {{ order_by }})
{%- endmacro %}


{# A column name that may hold any letter, such as a title. #}
{% macro quoted(name) %}{{ return(adapter.dispatch('quoted', 'docebo')(name)) }}{% endmacro %}

{% macro default__quoted(name) %}{{ return(adapter.quote(name)) }}{% endmacro %}

{# In upper case, so that it is found without quotes. #}
{% macro snowflake__quoted(name) %}{{ return(adapter.quote(name | upper)) }}{% endmacro %}
