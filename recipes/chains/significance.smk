# How far the counts of a window stand out from those beside it, by a table of bins.

rule significance:
    input:
        config["table"]
    output:
        "excess.json"
    shell:
        """
        awk '
          $1 >= 120 && $1 < 130 {{ observed += $2; window++ }}
          $1 >= 110 && $1 < 120 || $1 >= 130 && $1 < 140 {{ around += $2; bins++ }}
          END {{
            expected = around * window / bins
            deviations = (observed - expected) / sqrt(expected * (1 + window / bins))
            printf "{{\\"observed\\": %d, \\"expected\\": %.1f, \\"deviations\\": %.2f}}\\n", observed, expected, deviations
          }}
        ' {input} > {output}
        """
