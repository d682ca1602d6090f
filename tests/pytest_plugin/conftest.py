from .foreign import project

__all__ = ["project"]
