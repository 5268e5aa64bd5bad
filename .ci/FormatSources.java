import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;

/// Checks (`check`) or repairs (`fix`) the format of every Java source below a folder.
///
/// The format is google-java-format's. It does not know Markdown doc comments: a `///` line of more
/// than 100 columns is broken into a `//` line, which tears the comment. So such lines are wrapped
/// first, and a check refuses them by name.
public final class FormatSources {
  private static final int COLUMNS = 100;
  private static final Pattern DOC = Pattern.compile("^(\\s*)///(.*)$");

  private FormatSources() {}

  /// Runs `check` or `fix` on a folder; exit code 1 when a check finds something.
  public static void main(String[] arguments) throws IOException {
    boolean fix = arguments[0].equals("fix");
    List<String> files = sources(Path.of(arguments[1]));
    List<String> command = new ArrayList<>();
    int faults = 0;
    if (fix) {
      for (String file : files) {
        wrapDocComments(Path.of(file));
      }
      command.add("--replace");
    } else {
      faults = reportLongDocComments(files);
      command.addAll(List.of("--dry-run", "--set-exit-if-changed"));
    }
    command.addAll(files);
    int code =
        ToolProvider.findFirst("google-java-format")
            .orElseThrow()
            .run(
                new PrintWriter(System.out, true),
                new PrintWriter(System.err, true),
                command.toArray(String[]::new));
    if (!fix && (faults > 0 || code != 0)) {
      System.err.println(
          "files above are not formatted; mvn -Pformat formats every file");
    }
    System.exit(faults > 0 ? 1 : code);
  }

  private static List<String> sources(Path root) throws IOException {
    try (Stream<Path> all = Files.walk(root)) {
      return all.filter(path -> path.toString().endsWith(".java"))
          .filter(path -> !root.relativize(path).toString().contains("target"))
          .map(Path::toString)
          .sorted()
          .toList();
    }
  }

  private static int reportLongDocComments(List<String> files) throws IOException {
    int faults = 0;
    for (String file : files) {
      List<String> lines = Files.readAllLines(Path.of(file));
      for (int i = 0; i < lines.size(); i++) {
        boolean wrappable = text(lines.get(i)) != null;
        if (wrappable && lines.get(i).length() > COLUMNS) {
          System.out.println(file + ":" + (i + 1) + ": doc comment longer than 100 columns");
          faults++;
        }
      }
    }
    return faults;
  }

  private static void wrapDocComments(Path file) throws IOException {
    List<String> lines = Files.readAllLines(file);
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
    if (!wrapped.equals(lines)) {
      Files.write(file, wrapped);
    }
  }

  /// Text of a doc comment line that may be wrapped; null for tables, lists, code and empty lines.
  private static String text(String line) {
    Matcher doc = DOC.matcher(line);
    if (!doc.matches() || doc.group(2).isBlank()) {
      return null;
    }
    String text = doc.group(2).strip();
    return "|-#>*".indexOf(text.charAt(0)) >= 0 || text.startsWith("```") ? null : text;
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
