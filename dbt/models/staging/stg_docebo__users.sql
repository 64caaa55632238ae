-- Written by `make tables` from manifest.yaml.
with source as (

    {{ docebo.read_stream('users', key=['user_id'], additional_fields=true, columns={
        'user_id': 'integer',
        'username': 'text',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'uuid': 'text',
        'is_manager': 'boolean',
        'fullname': 'text',
        'last_access_date': 'timestamp',
        'last_update': 'timestamp',
        'creation_date': 'timestamp',
        'status': 'text',
        'avatar': 'text',
        'language': 'text',
        'lang_code': 'text',
        'expiration_date': 'timestamp',
        'level': 'text',
        'email_validation_status': 'text',
        'send_notification': 'text',
        'newsletter_optout': 'text',
        'newsletter_optout_date': 'timestamp',
        'encoded_username': 'text',
        'timezone': 'text',
        'date_format': 'text',
        'multidomains': 'json',
        'manager_names': 'json',
        'managers': 'json',
        'active_subordinates_count': 'integer',
        'actions': 'json',
        'expired': 'boolean',
        'country': 'text',
        'confirmed': 'text',
        'create_by_admin': 'text',
        'request_on': 'text',
    }) }}

)

select
    user_id,
    lower(trim(username)) as username,
    first_name,
    last_name,
    lower(trim(email)) as email,
    uuid as user_uuid,
    is_manager,
    fullname,
    last_access_date as last_access_at,
    last_update as updated_at,
    creation_date as created_at,
    case status
        when '1' then 'active'
        when '0' then 'inactive'
        else status
    end as user_status,
    avatar,
    language,
    lang_code,
    expiration_date as expires_at,
    case level
        when '3' then 'superadmin'
        when '4' then 'power_user'
        when '6' then 'user'
        when '/framework/level/godadmin' then 'superadmin'
        when '/framework/level/admin' then 'power_user'
        when '/framework/level/user' then 'user'
        else level
    end as user_level,
    email_validation_status,
    send_notification,
    {{ docebo.flag('newsletter_optout') }} as newsletter_optout,
    newsletter_optout_date as newsletter_optout_at,
    encoded_username,
    timezone,
    date_format,
    multidomains,
    manager_names,
    managers,
    active_subordinates_count,
    actions,
    expired,
    country,
    {{ docebo.flag('confirmed') }} as confirmed,
    {{ docebo.flag('create_by_admin') }} as create_by_admin,
    request_on,
    _airbyte_extracted_at
    {{ docebo.additional_fields('users') }}
from source
