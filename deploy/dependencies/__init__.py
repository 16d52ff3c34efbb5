"""What the image installs: listed (``sbom``), examined for vulnerabilities (``audit``), and its ``licences``."""
