select calendar.date as date_day
from ({{ date_series('2000-01-01', as_of_date()) }}) as calendar
