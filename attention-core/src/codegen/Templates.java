// SPDX-License-Identifier: Apache-2.0
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Pastes the pieces of `macros.txt` into templates.
final class Templates {
  private Templates() {}

  /// Reads `#macro name parameter…` … `#end`: first the parameters, then the body.
  static Map<String, List<String>> macros(List<String> lines) {
    Map<String, List<String>> macros = new HashMap<>();
    List<String> body = null;
    for (String line : lines) {
      if (line.startsWith("#macro ")) {
        String[] words = line.split(" ", 3);
        body = new ArrayList<>(List.of(words[2]));
        macros.put(words[1], body);
      } else if (line.equals("#end")) {
        body = null;
      } else if (body != null) {
        body.add(line);
      }
    }
    return macros;
  }

  static String expanded(String text, Map<String, List<String>> macros) {
    List<String> out = new ArrayList<>();
    text.lines().forEach(line -> expand(line, macros, out));
    return String.join("\n", out) + "\n";
  }

  /// Copies a line, or the macro it invokes with its arguments put in.
  private static void expand(String line, Map<String, List<String>> macros, List<String> out) {
    String text = line.strip();
    if (!text.startsWith("#")) {
      out.add(line);
      return;
    }
    String[] words = text.substring(1).split(" ");
    List<String> macro = macros.get(words[0]);
    if (macro == null) {
      throw new IllegalArgumentException("no macro for: " + line);
    }
    String[] parameters = macro.getFirst().split(" ");
    String indent = line.substring(0, line.indexOf('#'));
    for (String bodyLine : macro.subList(1, macro.size())) {
      String filled = bodyLine;
      for (int p = 0; p < parameters.length; p++) {
        filled = filled.replace("{" + parameters[p] + "}", words[p + 1]);
      }
      expand(indent + filled, macros, out);
    }
  }
}
