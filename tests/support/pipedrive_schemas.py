"""What Pipedrive's answers look like, written by us from its published description.

Nulls are allowed where they have been seen, and so are further fields.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

_DAY_AND_TIME = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"
_ID: Schema = {"type": "integer", "minimum": 1}
_SOME_ID: Schema = {"type": ["integer", "null"]}
_TEXT: Schema = {"type": ["string", "null"]}
_MOMENT: Schema = {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
_OLD_MOMENT: Schema = {"type": ["string", "null"], "pattern": _DAY_AND_TIME}
_ANY: Schema = {"type": ["string", "number", "integer", "object", "null"]}
_CURSOR: Schema = {
    "type": ["object", "null"],
    "properties": {"next_cursor": _TEXT},
    "required": ["next_cursor"],
}
_BOUNDS: Schema = {
    "type": "object",
    "properties": {
        "start": {"type": "integer"},
        "limit": {"type": "integer"},
        "more_items_in_collection": {"type": "boolean"},
    },
    "required": ["start", "limit", "more_items_in_collection"],
}


def _rows(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {**required, **(optional or {})},
            "required": list(required),
        },
    }


def _answer(data: Schema, more: Schema | None = None) -> Draft202012Validator:
    properties = {"success": {"const": True}, "data": data}
    required = ["success", "data"]
    if more:
        properties["additional_data"] = more
        required.append("additional_data")
    return Draft202012Validator({"type": "object", "properties": properties, "required": required})


_DEALS = _answer(
    _rows(
        {
            "id": _ID,
            "title": _TEXT,
            "owner_id": _SOME_ID,
            "stage_id": _SOME_ID,
            "pipeline_id": _SOME_ID,
            "add_time": _MOMENT,
            "update_time": _MOMENT,
            "status": {"type": "string"},
            "value": {"type": ["number", "null"]},
            "currency": _TEXT,
            "lost_reason": _TEXT,
            "won_time": _MOMENT,
            "lost_time": _MOMENT,
            "is_deleted": {"type": "boolean"},
            "is_archived": {"type": "boolean"},
        },
        {"org_id": _SOME_ID, "custom_fields": {"type": "object"}},
    ),
    _CURSOR,
)
_CHANGE: Schema = {"field_key": {"type": "string"}, "old_value": _ANY, "new_value": _ANY}
_FLOW_ROW: Schema = {
    "type": "object",
    "properties": {"id": _ID, "item_id": _ID, **_CHANGE, "log_time": _OLD_MOMENT},
    "required": ["id", "item_id", *_CHANGE, "log_time"],
}

VALIDATORS = {
    "deals": _DEALS,
    "archived": _DEALS,
    "activities": _answer(
        _rows(
            {
                "id": _ID,
                "type": _TEXT,
                "owner_id": _SOME_ID,
                "deal_id": _SOME_ID,
                "done": {"type": "boolean"},
                "due_date": {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\d$"},
                "due_time": {"type": ["string", "null"], "pattern": r"^(\d\d:\d\d(:\d\d)?)?$"},
            }
        ),
        _CURSOR,
    ),
    "stages": _answer(
        _rows({"id": _ID, "name": _TEXT, "pipeline_id": _ID}, {"update_time": _MOMENT}), _CURSOR
    ),
    "pipelines": _answer(_rows({"id": _ID, "name": _TEXT}), _CURSOR),
    "dealFields": _answer(
        _rows(
            {"field_code": {"type": "string"}, "field_name": _TEXT},
            {
                "options": {
                    "type": ["array", "null"],
                    "items": {"type": "object", "required": ["id", "label"]},
                }
            },
        ),
        _CURSOR,
    ),
    "activityTypes": _answer(
        _rows(
            {
                "id": _ID,
                "name": _TEXT,
                "key_string": {"type": "string"},
                "active_flag": {"type": "boolean"},
            }
        )
    ),
    "users": _answer(_rows({"id": _ID, "name": _TEXT, "email": _TEXT, "modified": _OLD_MOMENT})),
    "me": _answer(
        {"type": "object", "properties": {"company_domain": _TEXT}, "required": ["company_domain"]}
    ),
    "changelog": _answer(
        _rows(
            {**_CHANGE, "time": _OLD_MOMENT},
            {
                "actor_user_id": _SOME_ID,
                "change_source": _TEXT,
                "is_bulk_update_flag": {"type": ["boolean", "null"]},
            },
        ),
        _CURSOR,
    ),
    "flow": _answer(
        _rows({"object": {"type": "string"}, "timestamp": _OLD_MOMENT, "data": _FLOW_ROW}),
        {"anyOf": [_BOUNDS, {"properties": {"pagination": _BOUNDS}, "required": ["pagination"]}]},
    ),
}
"""By the last word of a path: what an answer 200 there has to be."""
