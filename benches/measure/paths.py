"""The paths of an event, and the story of a user that follows them in turn."""

import time
import uuid

from measure import world as surroundings
from measure.world import World

#: In the order of the story. The first event of a user is sent before anything is measured.
FIRST, NO_CHANGE, OPEN, DUPLICATE, CLOSE = PATHS = ["first", "no change", "open", "duplicate", "close"]
#: The paths with figures.
MEASURED = PATHS[1:]


class Story:
    """A user with a key. The events: the key is set to active (again), a second one is created, that event
    arrives twice, and the second one is deactivated."""

    def __init__(self, world: World, name: str):
        self._world = world
        self.user = name
        self.keys = world.user(name)
        self.events: dict[str, dict] = {}

    def go(self, path: str) -> dict:
        """Makes the next change in IAM, and returns its event."""
        if path == OPEN:
            self.keys.append(self._world.key(self.user))
        if path == CLOSE:
            self._world.iam.update_access_key(UserName=self.user, AccessKeyId=self.keys[1], Status="Inactive")
        kind, key = {
            FIRST: ("create", 0),
            NO_CHANGE: ("activate", 0),
            OPEN: ("create", 1),
            DUPLICATE: ("create", 1),
            CLOSE: ("deactivate", 1),
        }[path]
        event = surroundings.event(kind, self.user, self.keys[key])
        self.events[path] = self.events[OPEN] if path == DUPLICATE else event
        return self.events[path]

    def names(self) -> list[bytes]:
        """The texts that are specific to this user in requests. All users' texts have the same lengths."""
        ids = [event["detail"]["eventID"] for event in self.events.values()]
        return [text.encode() for text in [self.user, *self.keys, *ids]]


def stories(world: World, count: int) -> list[Story]:
    """`count` users, whose names have the same length and occur in no other text."""
    mark = uuid.uuid4().hex[:6]
    return [Story(world, f"user-{mark}-{number:05}") for number in range(count)]


def events(stories: list[Story], path: str) -> list[dict]:
    """Each user's next event on `path`.

    Waits first until a new event is later than every listing so far: CloudTrail's times have whole seconds,
    and its events arrive some seconds after their calls. Otherwise a listing would differ from the previous
    one without an event to explain it.
    """
    time.sleep(1.1)
    return [story.go(path) for story in stories]
