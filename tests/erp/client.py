"""A small client of Tryton's JSON-RPC, for tests."""
import base64
import gzip
import json
import time
import urllib.error
import urllib.request

BUSY_MAX = 20


class Fault(Exception):
    "An error that the server answered with."

    def __init__(self, error):
        super().__init__(error)
        self.kind = error[0]
        rest = error[1] if len(error) > 1 else ''
        self.message, self.description = (
            (rest[0], rest[1]) if isinstance(rest, list) and len(rest) > 1
            else (str(rest), ''))

    @property
    def refusal(self):
        return json.loads(self.description)


class Client:

    def __init__(self, url, database, user, password):
        self.url = f'{url}/{database}/rpc/'
        self.headers = {'Content-Type': 'application/json'}
        user_id, token, *_ = self.raw('common.db.login', [
                user, {'password': password}, 'en'])
        session = base64.b64encode(f'{user}:{user_id}:{token}'.encode())
        self.headers['Authorization'] = 'Session ' + session.decode()
        preferences = self.raw('model.res.user.get_preferences', [True, {}])
        self.context = {k: preferences.get(k)
            for k in ('company', 'companies', 'language', 'groups')}

    def raw(self, method, params):
        request = urllib.request.Request(self.url, json.dumps(
                {'id': 1, 'method': method, 'params': params}).encode(),
            # The server marks long answers as compressed whether or not it was asked to compress.
            dict(self.headers, **{'Accept-Encoding': 'gzip'}))
        for _ in range(BUSY_MAX):
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    body = answer.read()
                break
            except urllib.error.HTTPError as error:
                # So the server tells that a transaction met others too often; it was taken back.
                if error.code != 503:
                    raise
                error.close()
                time.sleep(0.2)
        else:
            raise TimeoutError(f'{method} found the server busy {BUSY_MAX} times')
        if body[:2] == b'\x1f\x8b':
            body = gzip.decompress(body)
        body = json.loads(body)
        if 'error' in body:
            raise Fault(body['error'])
        return body['result']

    def call(self, model, method, *args):
        return self.raw(f'model.{model}.{method}', [*args, self.context])

    def search(self, model, domain, fields, limit=None):
        return self.call(
            model, 'search_read', domain, 0, limit, [['id', 'ASC']], fields)

    def apply(self, *documents):
        return self.call('docksync.event', 'apply', list(documents))
