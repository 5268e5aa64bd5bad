// SPDX-License-Identifier: Apache-2.0
import com.google.googlejavaformat.java.Formatter;
import com.google.googlejavaformat.java.FormatterException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// Checks (`check`) or repairs (`fix`) the format of every Java source below a folder.
///
/// The format is google-java-format's, but for Markdown doc comments, which it does not know: it
/// would break a `///` line of more than 100 columns into a `//` line and so tear the comment. Here
/// such lines are wrapped as paragraphs; rows of tables and the like, which cannot be wrapped, are
/// kept. Every file begins with its licence.
public final class FormatSources {
  private static final int COLUMNS = 100;
  private static final String LICENCE = "// SPDX-License-Identifier: Apache-2.0\n";
  private static final Pattern DOC = Pattern.compile("^(\\s*)///(.*)$");

  private FormatSources() {}

  /// Runs `check` or `fix` on a folder; exit code 1 when a check finds something.
  public static void main(String[] arguments) throws IOException {
    boolean fix = arguments[0].equals("fix");
    int faults = 0;
    for (Path file : sources(Path.of(arguments[1]))) {
      String source = Files.readString(file);
      try {
        String formatted = formatted(source);
        if (!formatted.equals(source)) {
          faults++;
          System.out.println((fix ? "formatted " : "not formatted: ") + file);
          if (fix) {
            Files.writeString(file, formatted);
          }
        }
      } catch (FormatterException e) {
        faults++;
        System.out.println(file + ": " + e.getMessage());
      }
    }
    if (!fix && faults > 0) {
      System.err.println(faults + " files are not formatted; mvn -Pformat formats every file");
      System.exit(1);
    }
  }

  /// Wraps long doc comments, hides what is still long from the formatter, and puts it back.
  private static String formatted(String source) throws FormatterException {
    List<String> hidden = new ArrayList<>();
    StringBuilder shortened = new StringBuilder();
    String licensed = source.startsWith(LICENCE) ? source : LICENCE + source;
    for (String line : wrapDocComments(licensed.lines().toList())) {
      Matcher doc = DOC.matcher(line);
      if (doc.matches() && line.length() > COLUMNS) {
        line = doc.group(1) + "/// \u0001" + hidden.size();
        hidden.add(doc.group(2));
      }
      shortened.append(line).append('\n');
    }
    StringBuilder restored = new StringBuilder();
    for (String line :
        new Formatter().formatSourceAndFixImports(shortened.toString()).lines().toList()) {
      int mark = line.indexOf("/// \u0001");
      if (mark >= 0) {
        line =
            line.substring(0, mark)
                + "///"
                + hidden.get(Integer.parseInt(line.substring(mark + 5)));
      }
      restored.append(line).append('\n');
    }
    return restored.toString();
  }

  private static List<Path> sources(Path root) throws IOException {
    try (Stream<Path> all = Files.walk(root)) {
      return all.filter(path -> path.toString().endsWith(".java"))
          .filter(path -> !root.relativize(path).toString().matches("(.*[/\\\\])?target[/\\\\].*"))
          .sorted()
          .toList();
    }
  }

  private static List<String> wrapDocComments(List<String> lines) {
    List<String> wrapped = new ArrayList<>();
    boolean code = false;
    for (int i = 0; i < lines.size(); ) {
      code ^= lines.get(i).strip().startsWith("/// ```");
      int end = i + 1;
      if (!code && text(lines.get(i)) != null) {
        while (end < lines.size() && continues(lines.get(end))) {
          end++;
        }
      }
      List<String> paragraph = lines.subList(i, end);
      if (!code && paragraph.stream().anyMatch(line -> line.length() > COLUMNS)) {
        wrap(paragraph, wrapped);
      } else {
        wrapped.addAll(paragraph);
      }
      i = end;
    }
    return wrapped;
  }

  /// Text of a doc comment line that may be wrapped; null for tables, lists, code and empty lines.
  private static String text(String line) {
    Matcher doc = DOC.matcher(line);
    if (!doc.matches() || doc.group(2).isBlank()) {
      return null;
    }
    String text = doc.group(2).strip();
    boolean list = text.startsWith("- ") || text.startsWith("* ");
    return list || "|#>".indexOf(text.charAt(0)) >= 0 || text.startsWith("```") ? null : text;
  }

  private static boolean continues(String line) {
    String text = text(line);
    return text != null && !text.startsWith("@");
  }

  private static void wrap(List<String> paragraph, List<String> into) {
    Matcher first = DOC.matcher(paragraph.getFirst());
    if (text(paragraph.getFirst()) == null || !first.matches()) {
      into.addAll(paragraph);
      return;
    }
    String start = first.group(1) + "/// ";
    String hang = text(paragraph.getFirst()).startsWith("@") ? start + "    " : start;
    StringBuilder line = new StringBuilder(start);
    boolean empty = true;
    for (String part : paragraph) {
      for (String word : text(part).split(" +")) {
        if (!empty && line.length() + 1 + word.length() > COLUMNS) {
          into.add(line.toString());
          line = new StringBuilder(hang);
          empty = true;
        }
        line.append(empty ? "" : " ").append(word);
        empty = false;
      }
    }
    into.add(line.toString());
  }
}
