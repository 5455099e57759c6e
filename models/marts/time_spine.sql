select cast(calendar.day_start as date) as date_day
from
    generate_series(
        cast('2000-01-01' as timestamp),
        cast('{{ as_of_date() }}' as timestamp),
        interval '1 day'
    ) as calendar (day_start)
