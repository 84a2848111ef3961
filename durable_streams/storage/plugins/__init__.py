"""Storages for the command line: plugins providing ``durable_streams.interfaces.IStorageMaker``.

Other distributions add theirs in ``twisted.plugins``, or beside these by Twisted's plugin path.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
