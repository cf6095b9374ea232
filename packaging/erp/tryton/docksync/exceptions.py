# SPDX-License-Identifier: GPL-3.0-or-later
import json

from trytond.exceptions import UserError
from trytond.i18n import gettext


class Refused(UserError):
    """A document that cannot be applied.

    The description is for the caller's program, the message for people.
    """

    def __init__(self, key, code, message, document=None, line=None):
        self.key = key
        self.reason = code
        # The labels let the caller see that two refusals have one cause.
        super().__init__(message, json.dumps({
                    'key': key, 'code': code,
                    'document': document, 'line': line}))


def refuse(document, code, message_id, **values):
    "Refuse a document, or a whole call when there is none."
    key = document.key if document is not None else None
    if document is not None:
        values.setdefault('document', document.label)
    raise Refused(
        key, code, gettext(f'docksync.{message_id}', **values),
        values.get('document'), values.get('line'))
