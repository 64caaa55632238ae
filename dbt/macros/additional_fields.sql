{#
    The additional fields of a stream as the last columns of a select: field_<id> under its title, in snake case. A
    title that is missing, or of which no letter is left, leaves the name as it is. One that is longer than a column
    name may be, or that another column has, gets the field's name behind it.
#}
{% macro additional_fields(stream) %}
    {%- for field in docebo.titled_fields(stream) -%}
    , {{ field.column }} as {{ field.name }}
    {% endfor -%}
{% endmacro %}


{# The same columns by their names in staging, for a select from the staging model. #}
{% macro additional_field_names(stream, alias) %}
    {%- for field in docebo.titled_fields(stream) -%}
    , {{ alias }}.{{ field.name }}
    {% endfor -%}
{% endmacro %}


{# The columns field_<id> of a stream, each with its quoted name in staging. #}
{% macro titled_fields(stream) %}
    {%- set columns = [] -%}
    {%- for name in docebo.columns_of(docebo.synced_table(stream)) if modules.re.fullmatch('field_[0-9]+', name) -%}
        {%- do columns.append(name) -%}
    {%- endfor -%}
    {%- set titles = docebo.field_titles(stream) -%}
    {%- set taken = columns + docebo.documented_columns(stream) -%}
    {%- for column in columns -%}
        {%- do taken.append(titles.get(column)) -%}
    {%- endfor -%}
    {%- set fields = [] -%}
    {%- for column in columns -%}
        {%- set name = titles.get(column) or column -%}
        {%- if name != column and (taken.count(name) > 1 or name.encode('utf-8') | length > 63) -%}
            {%- set name = name[:10].strip('_') ~ '_' ~ column -%}
        {%- endif -%}
        {%- do fields.append({'column': column, 'name': docebo.quoted(name)}) -%}
    {%- endfor -%}
    {{ return(fields) }}
{% endmacro %}


{# The titles of a stream's additional fields in snake case, by the columns field_<id>. #}
{% macro field_titles(stream) %}
    {%- set definitions, title = {
        'users': ('user_fields', 'title'),
        'course_details': ('course_fields', docebo.json_text('name', 'value')),
    }[stream] -%}
    {%- set table = docebo.synced_table(definitions) -%}
    {%- set titles = {} -%}
    {%- if table is not none -%}
        {%- for row in run_query('select id, ' ~ title ~ ' from ' ~ table).rows if row[1] -%}
            {%- do titles.update({'field_' ~ (row[0] | int): docebo.snake_case(row[1] | string)}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(titles) }}
{% endmacro %}


{# The columns of the models that show a stream's additional fields. #}
{% macro documented_columns(stream) %}
    {%- set models = {
        'users': ['stg_docebo__users', 'docebo__users'],
        'course_details': ['stg_docebo__course_details', 'docebo__courses'],
    }[stream] -%}
    {%- set names = [] -%}
    {%- for model in models if execute -%}
        {%- for name in graph.nodes['model.docebo.' ~ model].columns if name not in names -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}


{# A title as a column name: "Cost center" is cost_center. #}
{% macro snake_case(title) %}
    {{ return(modules.re.sub('\\W+', '_', title.strip().lower()).strip('_')) }}
{% endmacro %}
