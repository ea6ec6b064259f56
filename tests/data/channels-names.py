"""The public names of channels: `python3 channels-names.py site-packages/channels > channels-4.3-names.txt`."""

import ast
import pathlib
import re
import sys

SETTING = re.compile(r"settings\.([A-Z_]+)|getattr\(settings, \"([A-Z_]+)\"")


def names(module, body):
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found = [node.name]
        elif isinstance(node, ast.Assign):
            found = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        for name in found:
            if not name.startswith("_"):
                yield f"{module}.{name}"
        if isinstance(node, ast.ClassDef):
            yield from names(f"{module}.{node.name}", node.body)


root = pathlib.Path(sys.argv[1])
public = set()
for path in root.rglob("*.py"):
    text = path.read_text()
    module = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
    public.update(names(module, ast.parse(text).body))
    public.update(f"settings.{first or second}" for first, second in SETTING.findall(text))
print("\n".join(sorted(public)))
